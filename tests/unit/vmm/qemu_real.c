/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU driver against the real QEMU, with a guest of a few instructions. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/confine.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/template_memory.h"
#include "tests/unit/test.h"
#include "tests/unit/vmm/vm_fixture.h"

enum { LETTERS = 30, END_MS = 20 * 1000, SPINS = 1000 * 1000, CLONES = 4 };

static int setup(void **state)
{
	static struct vm_fixture f;

	vm_fixture_init(&f, SPINS);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	vm_fixture_done(*state);
	template_memory_drop_all();
	return 0;
}

static void start(const struct vm_fixture *f, struct proc *proc)
{
	struct error err = ERROR_INIT;

	if (vmm_qemu.start(&f->config, &f->wait, proc, &err) < 0)
		fail_msg("start: %s", err.msg);
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->msg);
}

static void quit_and_wait(const struct vm_fixture *f, const struct vmm_config *config,
			  struct proc *proc)
{
	struct error err = ERROR_INIT;
	int status;

	must(vmm_qemu.quit(config, &f->wait, &err), &err);
	assert_int_equal(proc_wait(proc, END_MS, -1, &status), 0);
	assert_int_equal(status, 0);
	proc_done(proc);
}

static void probe_finds_qemu(void **state)
{
	struct vmm_probe probe;

	(void)state;
	vmm_qemu.probe(&probe);
	assert_true(probe.usable);
	assert_string_not_equal(probe.version, "");
	assert_string_equal(probe.remedy, "");
	assert_true(probe.accel == VMM_ACCEL_KVM || probe.accel == VMM_ACCEL_TCG);
}

static void a_guest_runs_pauses_resumes_and_quits(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct error err = ERROR_INIT;
	autoclose int console = -1;
	char letters[LETTERS];
	struct pollfd p;

	start(f, &proc);
	console = vmm_qemu.open_console(&f->config);
	assert_true(console >= 0);
	read_letters(console, letters, LETTERS);
	assert_in_sequence(letters, LETTERS);

	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	p = (struct pollfd){ .fd = console, .events = POLLIN };
	while (poll(&p, 1, 300) == 1)
		assert_true(read(console, letters, sizeof(letters)) > 0);
	assert_int_equal(poll(&p, 1, 300), 0);
	must(vmm_qemu.resume(&f->config, &f->wait, &err), &err);
	read_letters(console, letters, LETTERS);
	assert_in_sequence(letters, LETTERS);
	quit_and_wait(f, &f->config, &proc);
}

static void sockets_are_private_and_there_at_once(void **state)
{
	static const char *const names[] = { RUN_CONSOLE_SOCK, RUN_LINK_SOCK, RUN_QMP_SOCK };
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int dir = run_dir_open(&f->config);
	autoclose int link = -1;
	struct stat st;

	start(f, &proc);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	link = vmm_qemu.open_link(&f->config);
	assert_true(link >= 0);
	assert_true(fcntl(link, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(link, F_GETFD) & FD_CLOEXEC);
}

static void a_killed_vmm_is_explained_and_started_again(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct proc adopted = PROC_INIT;
	autoclose int dir = run_dir_open(&f->config);
	char why[256];
	int status;

	start(f, &proc);
	assert_int_equal(run_pid_adopt(dir, &adopted), 0);
	assert_int_equal(adopted.pid, proc.pid);
	assert_int_equal(proc_signal(&adopted, SIGKILL), 0);
	proc_done(&adopted);
	assert_int_equal(proc_wait(&proc, END_MS, -1, &status), 0);
	vmm_qemu.explain_exit(&f->config, status, why, sizeof(why));
	assert_non_null(strstr(why, "SIGKILL"));
	assert_int_equal(vmm_qemu.open_link(&f->config), -ECONNREFUSED);
	assert_int_equal(run_pid_adopt(dir, &adopted), -ESRCH);
	proc_done(&proc);
	start(f, &proc);
	quit_and_wait(f, &f->config, &proc);
}

static void what_qemu_refuses_is_quoted(void **state)
{
	struct vm_fixture *f = *state;
	struct proc proc = PROC_INIT;
	struct error err = ERROR_INIT;

	f->config.cpu_model = "no-such-cpu";
	assert_true(vmm_qemu.start(&f->config, &f->wait, &proc, &err) < 0);
	assert_non_null(strstr(err.msg, "no-such-cpu"));
	assert_int_equal(proc.pid, 0);
	f->config.cpu_model = NULL;
	f->config.kernel = "/no/such/kernel";
	err = ERROR_INIT;
	assert_true(vmm_qemu.start(&f->config, &f->wait, &proc, &err) < 0);
	assert_non_null(strstr(err.msg, "/no/such/kernel"));
}

static void a_start_can_be_cancelled(void **state)
{
	struct vm_fixture *f = *state;
	autoclose int cancel = eventfd(1, EFD_CLOEXEC);
	autoclose int dir = run_dir_open(&f->config);
	struct proc proc = PROC_INIT;
	struct proc left = PROC_INIT;
	struct error err = ERROR_INIT;

	f->wait.cancel_fd = cancel;
	assert_int_equal(vmm_qemu.start(&f->config, &f->wait, &proc, &err), -ECANCELED);
	assert_int_equal(err.code, ERR_CANCELLED);
	assert_int_equal(run_pid_adopt(dir, &left), -ESRCH);
}

static int new_folder(const struct vm_fixture *f, const char *name)
{
	autoclose int dir = run_dir_open(&f->config);

	return open_subdir(dir, name, 0700);
}

/* Restored twice from one folder, both clones go on at the letter where the snapshot was. */
static void clones_go_on_where_the_snapshot_was_taken(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct proc clone CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int snapshot = new_folder(f, "snapshot");
	autoclose int second = new_folder(f, "second");
	struct error err = ERROR_INIT;
	struct vmm_config sibling;
	char letters[LETTERS];
	char dir[96];
	char first = 0;

	start(f, &proc);
	autoclose int console = vmm_qemu.open_console(&f->config);
	read_letters(console, letters, LETTERS);
	assert_true(vmm_qemu.snapshot(&f->config, snapshot, &f->wait, &err) < 0);
	assert_int_equal(err.code, ERR_STATE);
	err = ERROR_INIT;
	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.snapshot(&f->config, snapshot, &f->wait, &err), &err);
	/* Again while it stands still. */
	must(vmm_qemu.snapshot(&f->config, second, &f->wait, &err), &err);
	must(vmm_qemu.resume(&f->config, &f->wait, &err), &err);
	read_letters(console, letters, 2);

	sibling = vm_fixture_sibling(f, dir, sizeof(dir));
	for (int i = 0; i < 2; i++) {
		must(vmm_qemu.restore(&sibling, snapshot, NULL, &f->wait, &clone, &err), &err);
		autoclose int theirs = vmm_qemu.open_console(&sibling);
		read_letters(theirs, letters, LETTERS);
		assert_in_sequence(letters, LETTERS);
		/* The console is connected after the guest runs, so a letter may be lost: not two
		 * rounds of the alphabet. */
		if (i == 0)
			first = letters[0];
		else
			assert_true((letters[0] - first + 26) % 26 <= 5 ||
				    (first - letters[0] + 26) % 26 <= 5);
		quit_and_wait(f, &sibling, &clone);
	}
	quit_and_wait(f, &f->config, &proc);
}

struct cloning {
	pthread_t thread;
	const struct vm_fixture *f;
	struct vmm_config config;
	char dir[96];
	int snapshot;
	struct proc proc;
	struct error err;
	int result;
};

static void *restore_one(void *data)
{
	struct cloning *c = data;

	c->result = vmm_qemu.restore(&c->config, c->snapshot, NULL, &c->f->wait, &c->proc, &c->err);
	return NULL;
}

/* The first clones of a template, all at once, while nothing of it is kept yet; and a VM can be
 * snapshotted again after it has gone on. */
static void several_clones_start_at_once(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int snapshot = new_folder(f, "snapshot");
	autoclose int again = new_folder(f, "again");
	struct cloning clones[CLONES] = { 0 };
	struct error err = ERROR_INIT;
	char letters[LETTERS];

	start(f, &proc);
	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.snapshot(&f->config, snapshot, &f->wait, &err), &err);
	must(vmm_qemu.resume(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.snapshot(&f->config, again, &f->wait, &err), &err);
	quit_and_wait(f, &f->config, &proc);
	for (size_t i = 0; i < CLONES; i++) {
		struct cloning *c = &clones[i];

		(void)snprintf(c->dir, sizeof(c->dir), "%s/clone%zu", f->dir, i);
		assert_int_equal(mkdir(c->dir, 0700), 0);
		c->f = f;
		c->config = f->config;
		c->config.run_dir = c->dir;
		c->snapshot = snapshot;
		c->proc = PROC_INIT;
		assert_int_equal(pthread_create(&c->thread, NULL, restore_one, c), 0);
	}
	for (size_t i = 0; i < CLONES; i++)
		(void)pthread_join(clones[i].thread, NULL);
	for (size_t i = 0; i < CLONES; i++) {
		must(clones[i].result, &clones[i].err);
		autoclose int console = vmm_qemu.open_console(&clones[i].config);
		read_letters(console, letters, LETTERS);
		assert_in_sequence(letters, LETTERS);
		quit_and_wait(f, &clones[i].config, &clones[i].proc);
	}
}

/* What a clone has in memory is not in its template: its own snapshot must carry it. */
static void a_clone_can_be_snapshotted_again(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int one = new_folder(f, "one");
	autoclose int two = new_folder(f, "two");
	struct error err = ERROR_INIT;
	char letters[LETTERS];
	struct stat st;

	start(f, &proc);
	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.snapshot(&f->config, one, &f->wait, &err), &err);
	assert_int_equal(fstatat(one, "memory", &st, 0), 0);
	assert_int_equal(st.st_size, 64 * 1024 * 1024);
	quit_and_wait(f, &f->config, &proc);

	must(vmm_qemu.restore(&f->config, one, NULL, &f->wait, &proc, &err), &err);
	must(vmm_qemu.pause(&f->config, &f->wait, &err), &err);
	must(vmm_qemu.snapshot(&f->config, two, &f->wait, &err), &err);
	assert_int_equal(fstatat(two, "memory", &st, 0), -1);
	quit_and_wait(f, &f->config, &proc);

	must(vmm_qemu.restore(&f->config, two, NULL, &f->wait, &proc, &err), &err);
	autoclose int console = vmm_qemu.open_console(&f->config);
	read_letters(console, letters, LETTERS);
	assert_in_sequence(letters, LETTERS);
	quit_and_wait(f, &f->config, &proc);
}

static void a_broken_snapshot_is_refused(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int snapshot = new_folder(f, "snapshot");
	struct error err = ERROR_INIT;

	assert_int_equal(vmm_qemu.restore(&f->config, snapshot, NULL, &f->wait, &proc, &err),
			 -ENOENT);
	assert_int_equal(write_file_at(snapshot, "state", "no stream", 9, 0600), 0);
	err = ERROR_INIT;
	assert_true(vmm_qemu.restore(&f->config, snapshot, NULL, &f->wait, &proc, &err) < 0);
	assert_non_null(strstr(err.msg, "QEMU ended: "));
	assert_int_equal(write_file_at(snapshot, "memory", "short", 5, 0600), 0);
	err = ERROR_INIT;
	assert_int_equal(vmm_qemu.restore(&f->config, snapshot, NULL, &f->wait, &proc, &err),
			 -EINVAL);
	assert_int_equal(proc.pid, 0);
}

/* Asked through its monitor, as a guest that has broken out could: QEMU opens nothing else. */
static void a_vmm_opens_only_its_own_files(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	autoclose int dir = run_dir_open(&f->config);
	struct error err = ERROR_INIT;
	char secret[96];

	if (confine_version() == 0)
		skip();
	assert_int_equal(write_file_at(dir, "secret", "secret", 6, 0600), 0);
	(void)snprintf(secret, sizeof(secret), "%s/secret", f->dir);
	start(f, &proc);
	must(qemu_monitor(&f->config, &f->wait, &q, &err), &err);
	assert_true(qmp_call(&q, "blockdev-add",
			     json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", "x",
				       "filename", secret, "read-only", 1),
			     -1, NULL, &err) < 0);
	assert_non_null(strstr(err.msg, "Permission denied"));
	err = ERROR_INIT;
	must(qmp_call(&q, "blockdev-add",
		      json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", "y",
				"filename", f->kernel, "read-only", 1),
		      -1, NULL, &err),
	     &err);
}

static void stats_are_of_the_vmm(void **state)
{
	const struct vm_fixture *f = *state;
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct vmm_stats stats;
	char letters[2];

	start(f, &proc);
	autoclose int console = vmm_qemu.open_console(&f->config);
	read_letters(console, letters, sizeof(letters));
	assert_int_equal(vmm_qemu.stats(&f->config, &proc, &stats), 0);
	assert_true(stats.rss_bytes > 1024 * 1024);
	assert_true(stats.pss_bytes > 0 && stats.pss_bytes <= stats.rss_bytes);
	proc_kill(&proc);
	proc = PROC_INIT;
	assert_int_equal(
		vmm_qemu.stats(&f->config, &(struct proc){ .pid = 0x3ffffff, .pidfd = -1 }, &stats),
		-ESRCH);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_finds_qemu),
		TEST(a_guest_runs_pauses_resumes_and_quits),
		TEST(sockets_are_private_and_there_at_once),
		TEST(a_killed_vmm_is_explained_and_started_again),
		TEST(what_qemu_refuses_is_quoted),
		TEST(a_start_can_be_cancelled),
		TEST(clones_go_on_where_the_snapshot_was_taken),
		TEST(several_clones_start_at_once),
		TEST(a_clone_can_be_snapshotted_again),
		TEST(a_broken_snapshot_is_refused),
		TEST(a_vmm_opens_only_its_own_files),
		TEST(stats_are_of_the_vmm),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
