/* SPDX-License-Identifier: Apache-2.0 */
/* The run folder, sockets in deep folders, sealed memory, and a VMM that can't be started. */
#include "server/vmm/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/vmm/proc_stats.h"
#include "server/vmm/sock.h"
#include "server/vmm/template_memory.h"
#include "tests/unit/test.h"

struct folder {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	static struct folder f;

	(void)snprintf(f.path, sizeof(f.path), "/tmp/banger-run-XXXXXX");
	assert_non_null(mkdtemp(f.path));
	f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	const struct folder *f = *state;

	(void)close(f->fd);
	template_memory_drop_all();
	return remove_tree_at(AT_FDCWD, f->path);
}

static void sockets_work_however_deep_the_folder_is(void **state)
{
	const struct folder *f = *state;
	int dir = dup(f->fd);
	struct stat st;

	for (int i = 0; i < 10; i++) {
		int sub = open_subdir(dir, "a-folder-with-a-long-name", 0700);

		assert_true(sub >= 0);
		(void)close(dir);
		dir = sub;
	}
	for (int i = 0; i < 2; i++) { /* the second time over the socket that was left behind */
		int listening = sock_listen_at(dir, "x.sock");
		int conn;

		assert_true(listening >= 0);
		assert_int_equal(fstatat(dir, "x.sock", &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		conn = sock_connect_at(dir, "x.sock", true);
		assert_true(conn >= 0);
		(void)close(conn);
		(void)close(listening);
		assert_int_equal(sock_connect_at(dir, "x.sock", true), -ECONNREFUSED);
	}
	assert_int_equal(sock_connect_at(dir, "y.sock", true), -ENOENT);
	(void)close(dir);
}

static void the_last_words_are_found(void **state)
{
	static const struct {
		const char *log;
		const char *line;
	} cases[] = {
		{ "", "" },
		{ "one\ntwo\n\n", "two" },
		{ "real reason\nqemu-system-x86_64: warning: TCG lacks something\n",
		  "real reason" },
		{ "x: warning: a\nx: warning: b\n", "" },
		{ "bad \033[31m bytes\r\n", "bad ?[31m bytes" },
	};
	const struct folder *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		autoclose int log = run_log_create(f->fd);
		char line[64];

		assert_int_equal(write_all(log, cases[i].log, strlen(cases[i].log)), 0);
		assert_string_equal(run_log_last_line(f->fd, line, sizeof(line)), cases[i].line);
	}
}

static void the_pid_file_finds_only_its_process(void **state)
{
	const struct folder *f = *state;
	struct proc me = { .pid = getpid(), .pidfd = -1, .start_time = proc_start_time(getpid()) };
	struct proc found = PROC_INIT;

	assert_int_equal(run_pid_adopt(f->fd, &found), -ESRCH);
	assert_int_equal(run_pid_write(f->fd, &me), 0);
	assert_int_equal(run_pid_adopt(f->fd, &found), 0);
	assert_int_equal(found.pid, me.pid);
	proc_done(&found);
	me.start_time++;
	assert_int_equal(run_pid_write(f->fd, &me), 0);
	assert_int_equal(run_pid_adopt(f->fd, &found), -ESRCH);
	assert_false(run_pid_is_copy(f->fd));
	assert_int_equal(write_file_at(f->fd, RUN_PID, "garbage", 7, 0600), 0);
	assert_int_equal(run_pid_adopt(f->fd, &found), -ESRCH);
}

static void a_copy_of_the_folder_finds_no_process(void **state)
{
	const struct folder *f = *state;
	struct proc me = { .pid = getpid(), .pidfd = -1, .start_time = proc_start_time(getpid()) };
	struct proc found = PROC_INIT;
	autofree char *text = NULL;
	size_t len = 0;

	assert_int_equal(run_pid_write(f->fd, &me), 0);
	assert_int_equal(read_file_at(f->fd, RUN_PID, 96, &text, &len), 0);
	assert_int_equal(mkdirat(f->fd, "copy", 0700), 0);
	autoclose int copy = open_beneath(f->fd, "copy", O_RDONLY | O_DIRECTORY, 0);

	assert_true(copy >= 0);
	assert_int_equal(write_file_at(copy, RUN_PID, text, len, 0600), 0);
	assert_true(run_pid_is_copy(copy));
	assert_int_equal(run_pid_adopt(copy, &found), -ESRCH);
}

/* What a VMM that was broken out of could try with the descriptor that it holds. */
static void template_memory_can_not_be_changed(void **state)
{
	const struct folder *f = *state;
	char path[64];
	void *map;

	assert_int_equal(write_file_at(f->fd, "memory", "template", 8, 0600), 0);
	autoclose int file = open_regular_beneath(f->fd, "memory", O_RDONLY, 0);
	autoclose int mem = template_memory_open(file);
	autoclose int again = template_memory_open(file);
	struct stat a;
	struct stat b;

	assert_true(mem >= 0 && again >= 0);
	assert_int_equal(fstat(mem, &a), 0);
	assert_int_equal(fstat(again, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", mem);
	autoclose int writable = open(path, O_RDWR | O_CLOEXEC);

	assert_true(writable >= 0); /* QEMU insists on opening it so */
	assert_int_equal(pwrite(writable, "poison", 6, 0), -1);
	assert_int_equal(ftruncate(writable, 0), -1);
	assert_int_equal(fcntl(writable, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_ptr_equal(mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0),
			 MAP_FAILED);
	map = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, writable, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_memory_equal(map, "template", 8);
	memcpy(map, "changed!", 8);
	assert_int_equal(munmap(map, 8), 0);
	assert_int_equal(pread(mem, path, 8, 0), 8);
	assert_memory_equal(path, "template", 8);
}

struct opening {
	pthread_barrier_t *begin;
	int file;
	int mem;
};

static void *open_with_others(void *data)
{
	struct opening *o = data;

	(void)pthread_barrier_wait(o->begin);
	o->mem = template_memory_open(o->file);
	return NULL;
}

/* Copies that start together would otherwise have a memory each, all of it. */
static void who_opens_it_at_once_shares_it(void **state)
{
	enum { COUNT = 8, BYTES = 8 << 20 };
	const struct folder *f = *state;
	struct opening opening[COUNT];
	pthread_t thread[COUNT];
	pthread_barrier_t begin;
	autofree char *bytes = malloc(BYTES);
	ino_t first = 0;

	assert_non_null(bytes);
	memset(bytes, 'm', BYTES);
	assert_int_equal(write_file_at(f->fd, "memory", bytes, BYTES, 0600), 0);
	autoclose int file = open_regular_beneath(f->fd, "memory", O_RDONLY, 0);

	assert_int_equal(pthread_barrier_init(&begin, NULL, COUNT), 0);
	for (size_t i = 0; i < COUNT; i++) {
		opening[i] = (struct opening){ .begin = &begin, .file = file };
		assert_int_equal(pthread_create(&thread[i], NULL, open_with_others, &opening[i]),
				 0);
	}
	for (size_t i = 0; i < COUNT; i++) {
		struct stat st;

		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(fstat(opening[i].mem, &st), 0);
		first = i == 0 ? st.st_ino : first;
		assert_int_equal(st.st_ino, first);
		(void)close(opening[i].mem);
	}
	(void)pthread_barrier_destroy(&begin);
}

static void a_new_template_is_not_mistaken_for_an_old_one(void **state)
{
	const struct folder *f = *state;
	char text[8];

	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			write_file_at(f->fd, "memory", &"0123456789abcdefghij"[i], 1, 0600), 0);
		autoclose int file = open_regular_beneath(f->fd, "memory", O_RDONLY, 0);
		autoclose int mem = template_memory_open(file);

		assert_true(mem >= 0);
		assert_int_equal(pread(mem, text, sizeof(text), 0), 1);
		assert_int_equal(text[0], "0123456789abcdefghij"[i]);
	}
}

static void numbers_of_a_process_are_read(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(stats_value("Rss:   12 kB\nPss:    7 kB\n", "Pss:", &v));
	assert_int_equal(v, 7);
	assert_false(stats_value("SwapPss: 9 kB\n", "Pss:", &v));
	assert_false(stats_value("Pss: x\n", "Pss:", &v));
	assert_true(stats_cpu_ticks("42 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20", &v));
	assert_int_equal(v, 123);
	assert_false(stats_cpu_ticks("42 (cut", &v));
	assert_false(stats_cpu_ticks("42 (cut) S 1 2", &v));
}

static int refuse_spawn(const struct proc_spec *spec, struct proc *ret_proc, struct error *err)
{
	(void)spec;
	(void)ret_proc;
	return error_errno(err, -EAGAIN, "start the process");
}

static void a_vmm_that_can_not_be_started_is_an_error(void **state)
{
	const struct folder *f = *state;
	struct vmm_config config = { .id = "0123456789abcdef",
				     .name = "x",
				     .run_dir = f->path,
				     .vcpus = 1,
				     .memory_mib = 64,
				     .accel = VMM_ACCEL_TCG,
				     .kernel = "/k" };
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + 10 * 1000000, .cancel_fd = -1 };
	struct proc proc = PROC_INIT;
	struct error err = ERROR_INIT;

	proc_set_spawn_hook(refuse_spawn);
	assert_int_equal(vmm_qemu.start(&config, &wait, &proc, &err), -EAGAIN);
	proc_set_spawn_hook(NULL);
	assert_int_equal(proc.pid, 0);
	assert_int_equal(vmm_qemu.open_link(&config), -ECONNREFUSED);
	config.run_dir = "/no/such/folder";
	assert_int_equal(vmm_qemu.start(&config, &wait, &proc, &err), -ENOENT);
	assert_int_equal(vmm_qemu.open_link(&config), -ENOENT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sockets_work_however_deep_the_folder_is),
		TEST(the_last_words_are_found),
		TEST(the_pid_file_finds_only_its_process),
		TEST(a_copy_of_the_folder_finds_no_process),
		TEST(template_memory_can_not_be_changed),
		TEST(a_new_template_is_not_mistaken_for_an_old_one),
		TEST(who_opens_it_at_once_shares_it),
		cmocka_unit_test(numbers_of_a_process_are_read),
		TEST(a_vmm_that_can_not_be_started_is_an_error),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
