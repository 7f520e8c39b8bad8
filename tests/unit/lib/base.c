/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"
#include "lib/base/etag.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static void context_is_put_in_front_of_an_error(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_errno(&err, -ENOENT, "open %s", "disk.ext4"), -ENOENT);
	assert_int_equal(error_wrap(&err, "start vm %s", "web"), -ENOENT);
	assert_string_equal(err.msg, "start vm web: open disk.ext4: No such file or directory");
	assert_int_equal(error_errno(&err, -ENOSPC, "write"), -ENOSPC);
	assert_int_equal(err.code, ERR_NO_ROOM);
}

static void another_kind_keeps_the_message(void **state)
{
	struct error err = ERROR_INIT;
	struct error upstream = ERROR_INIT;

	(void)state;
	(void)error_set(&upstream, ERR_UPSTREAM, "x");
	(void)error_set(&err, ERR_BAD_REQUEST, "not valid JSON");
	assert_int_equal(error_recode(&err, ERR_UPSTREAM), error_to_errno(&upstream));
	assert_int_equal(err.code, ERR_UPSTREAM);
	assert_string_equal(err.msg, "not valid JSON");
}

static void the_first_to_advise_knows_most(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	(void)error_set(&err, ERR_UPSTREAM, "no certificate");
	assert_null(err.remedy);
	assert_int_equal(error_advise(&err, "name a file"), error_to_errno(&err));
	(void)error_wrap(&err, "pull");
	(void)error_advise(&err, "try again");
	assert_string_equal(err.remedy, "name a file");
	(void)error_set(&err, ERR_TIMEOUT, "another one");
	assert_null(err.remedy);
	(void)error_advise(&err, "wait");
	(void)error_errno(&err, -EIO, "another one again");
	assert_null(err.remedy);
}

static void lists_of_entity_tags(void **state)
{
	static const struct {
		const char *list;
		bool valid;
		bool strong; /* has "v" */
		bool weak;
	} cases[] = {
		{ "\"v\"", true, true, true },
		{ "W/\"v\"", true, false, true },
		{ " \"a\" , ,\"v\",", true, true, true },
		{ "\"a,\", W/\"v\"", true, false, true },
		{ "\"\",\"vv\",\"V\"", true, false, false },
		{ "\",\"", true, false, false },
		{ "\", \"", false, false, false },
		{ " * ", true, true, true },
		{ "\"a\", *", false, false, false },
		{ "*, \"v\"", false, false, false },
		{ "**", false, false, false },
		{ "v", false, false, false },
		{ "w/\"v\"", false, false, false },
		{ "W/ \"v\"", false, false, false },
		{ "W/W/\"v\"", false, false, false },
		{ "\"v\" x", false, false, false },
		{ "\"v\"\"v\"", false, false, false },
		{ "\"a\"W/\"v\"", false, false, false },
		{ "\"v", false, false, false },
		{ "\"v\", \"", false, false, false },
		{ "\"v \"", false, false, false },
		{ "\"\x01\", \"v\"", false, false, false },
		{ "W", false, false, false },
		{ "W/", false, false, false },
		{ " ,\t", false, false, false },
		{ "", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(etag_list_valid(cases[i].list), cases[i].valid);
		assert_int_equal(etag_list_has(cases[i].list, "v", false), cases[i].strong);
		assert_int_equal(etag_list_has(cases[i].list, "v", true), cases[i].weak);
	}
}

static void a_buffer_never_passes_its_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_append(&b, "0123456", 7), 0);
	assert_int_equal(buf_append(&b, "0123", 4), -ENOBUFS);
	assert_int_equal(buf_len(&b), 7);
	buf_consume(&b, 5);
	assert_int_equal(buf_append(&b, "abcdefgh", 8), 0);
	assert_memory_equal(buf_bytes(&b), "56abcdefgh", 10);
	buf_done(&b);
}

static void names_that_are_no_dns_label_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"-a",
		"a-",
		"A",
		"a.b",
		"a_b",
		"a b",
		"ä",
		"a/../b",
		"a\n",
		"0123456789012345678901234567890123456789012345678901234567890123"
	};
	static const char *const good[] = {
		"a", "0", "web-1", "012345678901234567890123456789012345678901234567890123456789012"
	};
	struct id id = id_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(dns_label_valid(bad[i]));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(dns_label_valid(good[i]));
	assert_true(id_valid(id.s));
	id.s[3] = 'I';
	assert_false(id_valid(id.s));
}

struct scratch {
	char path[64];
	int fd;
};

static struct scratch scratch_new(void)
{
	struct scratch s = { .path = "/tmp/banger-test-XXXXXX", .fd = -1 };

	assert_non_null(mkdtemp(s.path));
	s.fd = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s.fd >= 0);
	return s;
}

static void scratch_done(struct scratch *s)
{
	assert_int_equal(remove_tree_at(AT_FDCWD, s->path), 0);
	close(s->fd);
	assert_int_equal(access(s->path, F_OK), -1);
}

static void paths_do_not_leave_their_folder(void **state)
{
	struct scratch s = scratch_new();

	(void)state;
	assert_int_equal(symlinkat("/etc", s.fd, "etc"), 0);
	assert_int_equal(mkfifoat(s.fd, "fifo", 0600), 0);
	assert_int_equal(open_beneath(s.fd, "../etc", O_RDONLY, 0), -EXDEV);
	assert_int_equal(open_beneath(s.fd, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(open_beneath(s.fd, "etc/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(open_regular_beneath(s.fd, "fifo", O_RDONLY, 0), -EINVAL);
	scratch_done(&s);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void a_file_is_replaced_as_a_whole(void **state)
{
	struct scratch s = scratch_new();
	autofree char *data = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(write_file_at(s.fd, "f", "old", 3, 0600), 0);
	assert_int_equal(write_file_at(s.fd, "f", "newer", 5, 0600), 0);
	assert_int_equal(read_file_at(s.fd, "f", 100, &data, &len), 0);
	assert_string_equal(data, "newer");
	free(data);
	data = NULL;
	assert_int_equal(read_file_at(s.fd, "f", 4, &data, &len), -EFBIG);
	scratch_done(&s);
}

static int entries_named(DIR *dir, const char *name)
{
	const struct dirent *e;
	int n = 0;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((e = readdir(dir)) != NULL)
		n += strcmp(e->d_name, name) == 0;
	return n;
}

static void a_folder_is_read_from_its_beginning_each_time(void **state)
{
	struct scratch s = scratch_new();
	int file = open_beneath(s.fd, "f", O_RDWR | O_CREAT, 0600);
	int next;

	(void)state;
	for (int i = 0; i < 2; i++) {
		DIR *dir = dir_entries(s.fd);

		assert_non_null(dir);
		assert_true(fcntl(dirfd(dir), F_GETFD) & FD_CLOEXEC);
		assert_int_equal(entries_named(dir, "f"), 1);
		closedir(dir);
	}
	/* What fails leaves no descriptor behind. */
	next = dup(file);
	close(next);
	assert_null(dir_entries(file));
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(dup(file), next);
	close(next);
	close(file);
	scratch_done(&s);
}

static void a_sparse_copy_stays_sparse(void **state)
{
	struct scratch s = scratch_new();
	int src = open_beneath(s.fd, "src", O_RDWR | O_CREAT, 0600);
	int dst = open_beneath(s.fd, "dst", O_RDWR | O_CREAT, 0600);
	struct stat st;
	char got[4] = "";

	(void)state;
	assert_int_equal(ftruncate(src, 64 << 20), 0);
	assert_int_equal(pwrite(src, "mid", 3, 32 << 20), 3);
	assert_int_equal(copy_sparse(src, dst), 0);
	assert_int_equal(fstat(dst, &st), 0);
	assert_int_equal(st.st_size, 64 << 20);
	assert_true(st.st_blocks < 1024);
	assert_int_equal(pread(dst, got, 3, 32 << 20), 3);
	assert_string_equal(got, "mid");
	close(src);
	close(dst);
	scratch_done(&s);
}

static int wait_status(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Takes the lock, has a child that goes on with all its descriptors, and ends. The child's pid. */
static pid_t dies_with_a_child(const char *path)
{
	int out[2];
	pid_t parent, child = -1, holder;

	assert_int_equal(pipe(out), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		int fd = open(path, O_RDWR | O_CREAT, 0600);

		if (lock_for_process(fd, &holder) < 0)
			_exit(1);
		child = fork();
		if (child == 0) {
			(void)pause();
			_exit(0);
		}
		_exit(write(out[1], &child, sizeof(child)) != sizeof(child));
	}
	(void)close(out[1]);
	assert_int_equal(read(out[0], &child, sizeof(child)), sizeof(child));
	(void)close(out[0]);
	assert_int_equal(wait_status(parent), 0);
	return child;
}

static void a_lock_ends_with_its_process_and_is_no_childs(void **state)
{
	char path[] = "/tmp/banger-lock-XXXXXX";
	autoclose int fd = mkstemp(path);
	pid_t child = dies_with_a_child(path);
	pid_t holder;

	(void)state;
	assert_int_equal(lock_for_process(fd, &holder), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	child = fork();
	if (child == 0) {
		int again = open(path, O_RDWR);

		_exit(lock_for_process(again, &holder) == -EAGAIN && holder == getppid() ? 7 : 1);
	}
	assert_int_equal(wait_status(child), 7);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_is_put_in_front_of_an_error),
		cmocka_unit_test(another_kind_keeps_the_message),
		cmocka_unit_test(the_first_to_advise_knows_most),
		cmocka_unit_test(lists_of_entity_tags),
		cmocka_unit_test(a_buffer_never_passes_its_limit),
		cmocka_unit_test(names_that_are_no_dns_label_are_refused),
		cmocka_unit_test(paths_do_not_leave_their_folder),
		cmocka_unit_test(a_file_is_replaced_as_a_whole),
		cmocka_unit_test(a_lock_ends_with_its_process_and_is_no_childs),
		cmocka_unit_test(a_folder_is_read_from_its_beginning_each_time),
		cmocka_unit_test(a_sparse_copy_stays_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
