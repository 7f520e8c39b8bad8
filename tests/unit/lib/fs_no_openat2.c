/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files below a folder where openat2(2) is not to be had, as in a service with RestrictSUIDSGID=:
 * the same answers, the same refusals.
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

static int forbid(void **state)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	(void)state;
	assert_int_equal(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_below_opens_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, forbid, NULL);
}
