/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files where a call is not to be had: openat2(2), as in a service with RestrictSUIDSGID=, and
 * O_TMPFILE, as on overlayfs and NFS. The same answers, the same refusals.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

/* The bit of O_TMPFILE that is its own. */
enum { UNNAMED = O_TMPFILE & ~O_DIRECTORY };

static int forbid(void **state)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	(void)state;
	assert_int_equal(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0), 0);
	assert_int_equal(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(openat), 1,
					  SCMP_A2(SCMP_CMP_MASKED_EQ, UNNAMED, UNNAMED)),
			 0);
	assert_int_equal(seccomp_load(ctx), 0);
	seccomp_release(ctx);
	assert_int_equal(syscall(SYS_openat2, -1, "", NULL, 0), -1);
	assert_int_equal(errno, ENOSYS);
	return 0;
}

static void what_is_below_opens_and_nothing_else(void **state)
{
	static const char *const refused[] = { "../x",        "..",    "a/../a/f", "a/..",
					       "/etc/passwd", "",      "up",       "up/passwd",
					       "a/link",      "a/f/x", "absent",   "a/absent" };
	char path[] = "/tmp/banger-fs-XXXXXX";
	autoclose int dir = -1;
	autofree char *text = NULL;
	struct stat st;
	size_t len;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "a", 0700), 0);
	assert_int_equal(symlinkat("/etc", dir, "up"), 0);
	assert_int_equal(symlinkat("f", dir, "a/link"), 0);
	assert_int_equal(write_file_at(dir, "f", "1", 1, 0600), 0);
	fd = open_beneath(dir, "a/f", O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(write(fd, "here", 4), 4);
	assert_int_equal(close(fd), 0);
	assert_int_equal(fstatat(dir, "a/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(read_file_at(dir, "a//f", 100, &text, &len), 0);
	assert_string_equal(text, "here");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_true(open_beneath(dir, refused[i], O_RDONLY, 0) < 0);
		assert_true(open_beneath(dir, refused[i], O_PATH, 0) < 0);
	}
	/* A folder by its own name, by ".", and with a slash behind; a file is none. */
	fd = open_beneath(dir, "a/", O_RDONLY, 0);
	assert_true(fd >= 0 && close(fd) == 0);
	fd = open_beneath(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0 && close(fd) == 0);
	assert_int_equal(open_beneath(dir, "f/", O_RDONLY, 0), -ENOTDIR);
	assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

static void a_file_without_a_name_can_be_had(void **state)
{
	char path[] = "/tmp/banger-fs-XXXXXX";
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), -1);
	fd = open_unnamed(path);
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(write(fd, "here", 4), 4);
	assert_int_equal(close(fd), 0);
	/* Nothing is left. */
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(open_unnamed(path), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_below_opens_and_nothing_else),
		cmocka_unit_test(a_file_without_a_name_can_be_had),
	};

	return cmocka_run_group_tests(tests, forbid, NULL);
}
