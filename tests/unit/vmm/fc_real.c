/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker driver against the real Firecracker, where it is installed and KVM lets it make a
 * VM; skipped elsewhere. The guest is a few instructions, so it runs even where stock kernels do
 * not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/fc_version.h"
#include "server/vmm/kvm.h"
#include "server/vmm/run_dir.h"
#include "tests/unit/test.h"
#include "tests/unit/vmm/vm_fixture.h"

enum { LETTERS = 30, END_MS = 20 * 1000, SPINS = 300, DISK_BYTES = 1024 * 1024 };

static bool available(void)
{
	autofree char *binary = proc_find_program("firecracker");
	struct kvm_facts facts;

	kvm_look(&facts);
	return binary && facts.open_error == 0 && facts.create_error == 0;
}

static void make_disk(const char *path, char fill)
{
	autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
	assert_int_equal(pwrite(fd, &fill, 1, 0), 1);
}

static char root_disk[96];
static char work_disk[96];

static int setup(void **state)
{
	static struct vm_fixture f;

	if (!available())
		return 0;
	vm_fixture_init(&f, SPINS);
	(void)snprintf(root_disk, sizeof(root_disk), "%s/root.img", f.dir);
	(void)snprintf(work_disk, sizeof(work_disk), "%s/work.img", f.dir);
	make_disk(root_disk, 'r');
	make_disk(work_disk, 'w');
	f.config.accel = VMM_ACCEL_KVM;
	f.config.disks[0] = (struct vmm_disk){ "root", root_disk, true };
	f.config.disks[1] = (struct vmm_disk){ "work", work_disk, false };
	f.config.n_disks = 2;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		vm_fixture_done(*state);
	*state = NULL;
	return 0;
}

static const struct vm_fixture *fixture(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->msg);
}

static void start(const struct vm_fixture *f, struct proc *proc)
{
	struct error err = ERROR_INIT;

	must(vmm_firecracker.start(&f->config, &f->wait, proc, &err), &err);
}

static void quit_and_wait(const struct vm_fixture *f, const struct vmm_config *config,
			  struct proc *proc)
{
	struct error err = ERROR_INIT;
	char why[256];
	int status;

	must(vmm_firecracker.quit(config, &f->wait, &err), &err);
	assert_int_equal(proc_wait(proc, END_MS, -1, &status), 0);
	vmm_firecracker.explain_exit(config, status, why, sizeof(why));
	assert_string_equal(why, "killed by SIGTERM");
	proc_done(proc);
}

static void probe_tells_the_version(void **state)
{
	struct fc_version version;
	struct vmm_probe probe;

	(void)fixture(state);
	vmm_firecracker.probe(&probe);
	assert_int_equal(fc_version_parse(probe.version, &version), 0);
	assert_int_equal(probe.usable, probe.accel == VMM_ACCEL_KVM);
}

static void a_guest_runs_pauses_and_resumes(void **state)
{
	const struct vm_fixture *f = fixture(state);
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct error err = ERROR_INIT;
	char letters[LETTERS];
	struct pollfd p;

	start(f, &proc);
	autoclose int console = vmm_firecracker.open_console(&f->config);

	assert_true(console >= 0);
	read_letters(console, letters, LETTERS);
	assert_in_sequence(letters, LETTERS);
	must(vmm_firecracker.pause(&f->config, &f->wait, &err), &err);
	p = (struct pollfd){ .fd = console, .events = POLLIN };
	while (poll(&p, 1, 300) == 1)
		assert_true(read(console, letters, sizeof(letters)) > 0);
	assert_int_equal(poll(&p, 1, 300), 0);
	must(vmm_firecracker.resume(&f->config, &f->wait, &err), &err);
	read_letters(console, letters, LETTERS);
	quit_and_wait(f, &f->config, &proc);
	/* What the last one left behind does not stop the next. */
	start(f, &proc);
	quit_and_wait(f, &f->config, &proc);
}

static void the_link_is_asked_for_and_silent_without_an_agent(void **state)
{
	const struct vm_fixture *f = fixture(state);
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	char c;

	assert_int_equal(vmm_firecracker.open_link(&f->config), -ENOENT);
	start(f, &proc);
	autoclose int link = vmm_firecracker.open_link(&f->config);

	assert_true(link >= 0);
	assert_int_equal(read(link, &c, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Two clones at once from one snapshot, each with its own run folder and work disk. */
static void clones_run_side_by_side(void **state)
{
	const struct vm_fixture *f = fixture(state);
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct proc clone CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int run = run_dir_open(&f->config);
	autoclose int snapshot = open_subdir(run, "snapshot", 0700);
	struct error err = ERROR_INIT;
	char letters[LETTERS];
	char other[128];
	char path[96];
	char dir[96];
	struct stat a;
	struct stat b;

	start(f, &proc);
	autoclose int console = vmm_firecracker.open_console(&f->config);

	read_letters(console, letters, LETTERS);
	assert_true(vmm_firecracker.snapshot(&f->config, snapshot, &f->wait, &err) < 0);
	assert_int_equal(faccessat(snapshot, "state", F_OK, 0), -1);
	err = ERROR_INIT;
	must(vmm_firecracker.pause(&f->config, &f->wait, &err), &err);
	must(vmm_firecracker.snapshot(&f->config, snapshot, &f->wait, &err), &err);
	must(vmm_firecracker.resume(&f->config, &f->wait, &err), &err);

	struct vmm_config sibling = vm_fixture_sibling(f, dir, sizeof(dir));

	(void)snprintf(other, sizeof(other), "%s/work.img", dir);
	make_disk(other, 'o');
	sibling.disks[1].path = other;
	must(vmm_firecracker.restore(&sibling, snapshot, NULL, &f->wait, &clone, &err), &err);
	autoclose int theirs = vmm_firecracker.open_console(&sibling);

	read_letters(theirs, letters, LETTERS);
	assert_in_sequence(letters, LETTERS);
	read_letters(console, letters, LETTERS);
	/* The clone holds its own disk, and its own link. */
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)clone.pid, 7);
	assert_int_equal(stat(path, &a), 0);
	assert_int_equal(stat(other, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	autoclose int link = vmm_firecracker.open_link(&sibling);

	assert_true(link >= 0);
	quit_and_wait(f, &sibling, &clone);
	quit_and_wait(f, &f->config, &proc);
}

static void what_firecracker_refuses_is_quoted(void **state)
{
	const struct vm_fixture *f = fixture(state);
	struct proc proc = PROC_INIT;
	struct error err = ERROR_INIT;
	struct proc left = PROC_INIT;
	autoclose int dir = run_dir_open(&f->config);
	autoclose int kernel = open(f->kernel, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(write(kernel, "no kernel", 9) == 9);
	assert_true(vmm_firecracker.start(&f->config, &f->wait, &proc, &err) < 0);
	assert_non_null(strstr(err.msg, "PUT /actions: "));
	assert_non_null(strstr(err.msg, "kernel"));
	assert_int_equal(run_pid_adopt(dir, &left), -ESRCH);
}

static void a_broken_snapshot_is_refused(void **state)
{
	const struct vm_fixture *f = fixture(state);
	struct proc proc = PROC_INIT;
	struct error err = ERROR_INIT;
	autoclose int run = run_dir_open(&f->config);
	autoclose int snapshot = open_subdir(run, "snapshot", 0700);

	assert_int_equal(vmm_firecracker.restore(&f->config, snapshot, NULL, &f->wait, &proc, &err),
			 -ENOENT);
	assert_int_equal(write_file_at(snapshot, "state", "x", 1, 0600), 0);
	assert_int_equal(write_file_at(snapshot, "memory", "x", 1, 0600), 0);
	err = ERROR_INIT;
	assert_true(vmm_firecracker.restore(&f->config, snapshot, NULL, &f->wait, &proc, &err) < 0);
	assert_non_null(strstr(err.msg, "restore: PUT /snapshot/load: "));
	assert_int_equal(proc.pid, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(probe_tells_the_version),
		TEST(a_guest_runs_pauses_and_resumes),
		TEST(the_link_is_asked_for_and_silent_without_an_agent),
		TEST(clones_run_side_by_side),
		TEST(what_firecracker_refuses_is_quoted),
		TEST(a_broken_snapshot_is_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
