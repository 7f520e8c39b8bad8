/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker driver in a jail, with the real Firecracker and its real jailer where both are
 * installed, this is root and KVM makes VMs; skipped elsewhere. Here the test itself runs the
 * jailer, as the root helper does; that side has tests of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/kvm.h"
#include "server/vmm/run_dir.h"
#include "tests/unit/test.h"
#include "tests/unit/vmm/vm_fixture.h"

enum { LETTERS = 30, END_MS = 20 * 1000, SPINS = 300, DISK_BYTES = 1024 * 1024, JAILED = 23456 };

static struct vm_fixture f;
static struct vmm_jail jail;
static char base[96];
static char root[160];
static char disk[96];
static struct proc child;

static bool available(void)
{
	autofree char *binary = proc_find_program("firecracker");
	autofree char *jailer = proc_find_program("jailer");
	struct kvm_facts facts;

	kvm_look(&facts);
	return binary && jailer && geteuid() == 0 && facts.open_error == 0 &&
	       facts.create_error == 0;
}

/* A Firecracker that is not linked statically needs its libraries in the jail. */
static void copy_libraries(void)
{
	static const char *const files[] = { "lib64/ld-linux-x86-64.so.2",
					     "lib/x86_64-linux-gnu/libc.so.6",
					     "lib/x86_64-linux-gnu/libgcc_s.so.1" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		autofree char *from = path_join("/", files[i]);
		autofree char *to = path_join(root, files[i]);
		autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
		autoclose int dir = -1;
		autoclose int out = -1;
		char *slash = strrchr(to, '/');

		if (in < 0)
			continue;
		*slash = '\0';
		dir = open_dir_create(to, 0755);
		*slash = '/';
		out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
		assert_true(dir >= 0 && out >= 0);
		assert_int_equal(copy_sparse(in, out), 0);
	}
}

static int launch(void *data, const struct vmm_config *config, int log_fd, pid_t *ret_pid,
		  int *ret_pidfd, struct error *err)
{
	autofree char *jailer = proc_find_program("jailer");
	autofree char *binary = proc_find_program("firecracker");
	const char *const argv[] = {
		jailer,  "--id",  config->id, "--exec-file",       binary, "--uid",
		"23456", "--gid", "23456",    "--chroot-base-dir", base,   "--cgroup-version",
		"2",     NULL
	};
	struct proc_spec spec = PROC_SPEC_INIT;
	int r;

	(void)data;
	spec.argv = argv;
	spec.stdout_fd = log_fd;
	spec.stderr_fd = log_fd;
	r = proc_spawn(&spec, &child, err);
	if (r < 0)
		return r;
	*ret_pid = child.pid;
	*ret_pidfd = fcntl(child.pidfd, F_DUPFD_CLOEXEC, 3);
	return *ret_pidfd < 0 ? -errno : 0;
}

static int setup(void **state)
{
	autoclose int fd = -1;

	if (!available())
		return 0;
	vm_fixture_init(&f, SPINS);
	(void)snprintf(base, sizeof(base), "%s/jail", f.dir);
	(void)snprintf(root, sizeof(root), "%s/firecracker/%s/root", base, f.config.id);
	(void)snprintf(disk, sizeof(disk), "%s/work.img", f.dir);
	fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	assert_int_equal(chown(disk, JAILED, JAILED), 0);
	assert_int_equal(chmod(f.dir, 0755), 0);
	assert_int_equal(chmod(f.kernel, 0644), 0);
	assert_int_equal(mkdir(base, 0755), 0);
	copy_libraries();
	jail = (struct vmm_jail){ .root = root, .launch = launch };
	f.config.accel = VMM_ACCEL_KVM;
	f.config.jail = &jail;
	f.config.disks[0] = (struct vmm_disk){ "work", disk, false };
	f.config.n_disks = 1;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	if (*state) {
		proc_kill(&child);
		vm_fixture_done(&f);
	}
	*state = NULL;
	return 0;
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->msg);
}

/* The guest counts on; what Firecracker itself says is on the same stream. */
static void await_guest(int console)
{
	char last = 0;

	for (int in_row = 0; in_row < LETTERS;) {
		char c;

		read_letters(console, &c, 1);
		in_row = c == (last == 'z' ? 'a' : last + 1) ? in_row + 1 : 0;
		last = c;
	}
}

static void a_jailed_guest_runs_pauses_and_is_captured(void **state)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct error err = ERROR_INIT;
	char path[64];
	struct stat in_jail;
	int status;
	struct stat st;

	if (!*state)
		skip();
	must(vmm_firecracker.start(&f.config, &f.wait, &proc, &err), &err);
	autoclose int console = vmm_firecracker.open_console(&f.config);

	assert_true(console >= 0);
	await_guest(console);
	/* Its root is the jail, and it is nobody special in there. */
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)proc.pid);
	assert_int_equal(stat(path, &in_jail), 0);
	assert_int_equal(stat(root, &st), 0);
	assert_int_equal(in_jail.st_ino, st.st_ino);
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)proc.pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, JAILED);
	autoclose int link = vmm_firecracker.open_link(&f.config);

	assert_true(link >= 0);
	autoclose int run = run_dir_open(&f.config);
	autoclose int snapshot = open_subdir(run, "snapshot", 0700);

	must(vmm_firecracker.pause(&f.config, &f.wait, &err), &err);
	must(vmm_firecracker.snapshot(&f.config, snapshot, &f.wait, &err), &err);
	assert_int_equal(faccessat(snapshot, "state", R_OK, 0), 0);
	assert_int_equal(faccessat(snapshot, "memory", R_OK, 0), 0);
	must(vmm_firecracker.resume(&f.config, &f.wait, &err), &err);
	await_guest(console);
	assert_int_equal(proc_signal(&proc, SIGKILL), 0);
	assert_int_equal(proc_wait(&proc, END_MS, -1, &status), 0);
	/* The next life, from that memory, in a jail of the same name. */
	assert_int_equal(remove_tree_at(AT_FDCWD, base), 0);
	copy_libraries();
	proc_done(&child);
	proc_done(&proc);
	proc = PROC_INIT;
	must(vmm_firecracker.restore(&f.config, snapshot, NULL, &f.wait, &proc, &err), &err);
	autoclose int again = vmm_firecracker.open_console(&f.config);

	await_guest(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_jailed_guest_runs_pauses_and_is_captured, setup,
						teardown),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
