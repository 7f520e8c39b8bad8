/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may name, and which processes are banger's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "tests/unit/test.h"

#define UNIT "/system.slice/banger-helper.service"

static void signals_by_name_only(void **state)
{
	static const struct {
		const char *name;
		int number;
	} cases[] = {
		{ "TERM", SIGTERM }, { "SIGTERM", SIGTERM },
		{ "term", SIGTERM }, { "sIgTeRm", SIGTERM },
		{ "KILL", SIGKILL }, { "INT", SIGINT },
		{ "HUP", SIGHUP },   { "QUIT", SIGQUIT },
		{ "USR1", SIGUSR1 }, { "SIGUSR2", SIGUSR2 },
		{ "abrt", SIGABRT }, { "STOP", 0 },
		{ "SIGSTOP", 0 },    { "CONT", 0 },
		{ "RTMIN", 0 },      { "SIGRTMIN+1", 0 },
		{ "9", 0 },          { "15", 0 },
		{ "", 0 },           { "SIG", 0 },
		{ "SIGSIGTERM", 0 }, { "TERM ", 0 },
		{ " TERM", 0 },      { "TERMX", 0 },
		{ "SEGV", 0 },       { "CHLD", 0 },
		{ "TSTP", 0 },       { "TER", 0 },
	};
	char name[12];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(name, 0, sizeof(name));
		memcpy(name, cases[i].name, strlen(cases[i].name));
		assert_int_equal(signal_number(name, sizeof(name)), cases[i].number);
	}
	/* Something behind the NUL, and no NUL at all. */
	memcpy(name, "TERM\0\0\0\0\0\0x", sizeof(name));
	assert_int_equal(signal_number(name, sizeof(name)), 0);
	memcpy(name, "TERMTERMTERM", sizeof(name));
	assert_int_equal(signal_number(name, sizeof(name)), 0);
}

static void ids_and_names_of_interfaces(void **state)
{
	static const char *const bad[] = { "0123456789abcdeF",  "../../etc/passwd",
					   "0123456789abcde\0", "0123456789abcde/",
					   "0123456789abcdei",  "0123456789abcde ",
					   "0123456789abcde;",  "................",
					   "0123456789abcde\n" };
	char name[TAP_NAME_SIZE];

	(void)state;
	assert_true(vm_id_ok("0123456789abcdef"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(vm_id_ok(bad[i]));
	tap_name("0123456789abcdef", name);
	assert_string_equal(name, "bgr456789abcdef");
	assert_true(strlen(name) < TAP_NAME_SIZE);
}

static void addresses_of_guests_only(void **state)
{
	static const struct config wide = { .subnet = 0x0ad10000, .prefix = 16 };
	static const struct config narrow = { .subnet = 0xc0a80510, .prefix = 28 };

	(void)state;
	assert_true(address_ok(&wide, 0x0ad10002));
	assert_true(address_ok(&wide, 0x0ad1fffe));
	assert_false(address_ok(&wide, 0x0ad10000));
	assert_false(address_ok(&wide, 0x0ad10001));
	assert_false(address_ok(&wide, 0x0ad1ffff));
	assert_false(address_ok(&wide, 0x0ad20002));
	assert_false(address_ok(&wide, 0));
	assert_false(address_ok(&wide, 0x7f000001));
	assert_true(address_ok(&narrow, 0xc0a80512));
	assert_false(address_ok(&narrow, 0xc0a80511));
	assert_false(address_ok(&narrow, 0xc0a8051f));
	assert_false(address_ok(&narrow, 0xc0a80522));
}

static void cgroups_by_whole_components_from_the_root(void **state)
{
	static const struct {
		const char *text;
		bool ours;
	} cases[] = {
		/* v2 */
		{ "0::" UNIT "\n", true },
		{ "0::" UNIT, true },
		{ "0::" UNIT "/vm-0123456789abcdef\n", true },
		{ "0::" UNIT "/vm-x/deeper/still\n", true },
		/* v1: the systemd hierarchy counts, the others do not */
		{ "12:pids:/\n1:name=systemd:" UNIT "\n", true },
		{ "1:name=systemd:" UNIT "/helper\n", true },
		{ "12:pids:" UNIT "\n5:memory:" UNIT "\n1:name=systemd:/user.slice\n", false },
		/* hybrid */
		{ "9:name=systemd:/init.scope\n0::" UNIT "\n", true },
		{ "9:name=systemd:" UNIT "\n0::/\n", true },
		/* look-alikes */
		{ "0::/system.slice/xbanger-helper.service\n", false },
		{ "0::/system.slice/banger-helper.service.evil\n", false },
		{ "0::/system.slice/banger-helper.service.evil/banger-helper.service\n", false },
		{ "0::/system.slice/banger-helper.servic\n", false },
		{ "0::/system.slice\n", false },
		{ "0::/user.slice/user-1001.slice/user@1001.service/banger-helper.service\n",
		  false },
		{ "0::/user.slice/x/system.slice/banger-helper.service\n", false },
		{ "0::/system.slice/evil:0::" UNIT "\n", false },
		{ "1:name=systemd2:" UNIT "\n", false },
		{ "1:xname=systemd:" UNIT "\n", false },
		{ "1::" UNIT "\n", false },
		{ "10::" UNIT "\n", false },
		{ "0:pids:" UNIT "\n", false },
		{ "", false },
		{ "\n\n\n", false },
		{ "0:", false },
		{ "0::", false },
		{ "::::", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cgroup_below(cases[i].text, UNIT), cases[i].ours);
	/* Not started by systemd: then a cgroup is no proof, above all not for everybody. */
	assert_false(cgroup_below("0::/\n", ""));
	assert_false(cgroup_below("0::/x\n", ""));
	assert_false(cgroup_below("0::/x\n", "/"));
}

static void sockets_on_command_lines(void **state)
{
#define LINE(s) (s), sizeof(s)
	static const struct {
		const char *line;
		size_t len;
		const char *sock;
	} cases[] = {
		{ LINE("firecracker\0--api-sock\0/run/banger/x"), "/run/banger/x" },
		{ LINE("firecracker\0--api-sock=/run/banger/x"), "/run/banger/x" },
		{ LINE("firecracker\0-a\0/run/banger/x\0--id\0y"), "/run/banger/x" },
		{ LINE("firecracker\0--id\0y\0-a\0/run/banger/x"), "/run/banger/x" },
		{ LINE("firecracker\0--api-sock"), NULL },
		{ LINE("firecracker\0-a"), NULL },
		{ LINE("firecracker\0--api-sockx\0/run/banger/x"), NULL },
		{ LINE("firecracker\0--api-socket=/run/banger/x"), NULL },
		{ LINE("sh\0-c\0firecracker --api-sock /run/banger/x"), NULL },
		{ LINE("x\0--\0--api-sock\0/run/banger/x"), NULL },
		{ LINE("firecracker --api-sock /run/banger/x"), NULL },
		/* Cut: the last byte is not a NUL. */
		{ "firecracker\0-a\0/run/banger/x", 28, NULL },
		{ "", 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *sock = api_sock_of(cases[i].line, cases[i].len);

		if (cases[i].sock)
			assert_string_equal(sock, cases[i].sock);
		else
			assert_null(sock);
	}
}

static void paths_below_a_folder(void **state)
{
	static const char *const below[] = { "/run/banger/x", "/run/banger/vms/a/fc.sock",
					     "/run/banger/..x", "/run/banger/.x" };
	static const char *const not_below[] = {
		"/run/banger",           "/run/banger/",     "/run/banger-evil/x",
		"/run/bangerx",          "run/banger/x",     "/run/banger/../x",
		"/run/banger/a/../../x", "/run/banger/./x",  "/run/banger//x",
		"/run/banger/x/",        "/run/banger/x/..", "/run//banger/x",
		"/run/../run/banger/x",  "/x/run/banger/y",  "",
		"//run/banger/x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		assert_true(path_below(below[i], "/run/banger"));
	for (size_t i = 0; i < ARRAY_SIZE(not_below); i++)
		assert_false(path_below(not_below[i], "/run/banger"));
}

/* --- the proof, on a tree that looks like /proc --- */

struct tree {
	char path[64];
	struct config config;
	struct helper helper;
	struct sys sys;
};

/* What the kernel was asked for. */
static struct {
	int opened;
	int signalled; /* number of the last signal */
	bool gone;     /* what is signalled has ended */
} kernel;

static int fake_open(pid_t pid, unsigned int flags)
{
	(void)flags;
	kernel.opened++;
	errno = ESRCH;
	return pid == 999 ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int fake_signal(int pidfd, int sig, siginfo_t *info, unsigned int flags)
{
	(void)info;
	(void)flags;
	assert_true(pidfd >= 0);
	kernel.signalled = sig;
	errno = ESRCH;
	return kernel.gone ? -1 : 0;
}

static void put_file(struct tree *t, int pid, const char *name, const void *data, size_t len)
{
	autoclose int dir = -1;
	char folder[128];

	(void)snprintf(folder, sizeof(folder), "%s/proc/%d", t->path, pid);
	dir = open_dir_create(folder, 0755);
	assert_true(dir >= 0);
	assert_int_equal(write_file_at(dir, name, data, len, 0644), 0);
}

static void setup_tree(struct tree *t)
{
	char path[128];

	*t = (struct tree){ .path = "/tmp/banger-gate-XXXXXX" };
	assert_non_null(mkdtemp(t->path));
	(void)snprintf(path, sizeof(path), "%s/proc", t->path);
	t->sys = (struct sys){ .pidfd_open = fake_open, .pidfd_send_signal = fake_signal };
	memset(&kernel, 0, sizeof(kernel));
	t->helper = (struct helper){ .config = &t->config,
				     .sys = &t->sys,
				     .self = 77,
				     .root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
				     .proc_fd = open_dir_create(path, 0755),
				     .cgroup_fd = -1,
				     .jail_fd = -1,
				     .unit_path = UNIT };
	t->config.owner_uid = getuid();
	t->config.runtime_dir = strdup(t->path);
}

static void teardown_tree(struct tree *t)
{
	(void)close(t->helper.root_fd);
	(void)close(t->helper.proc_fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, t->path), 0);
	free((void *)(uintptr_t)t->config.runtime_dir);
}

static enum helper_reason send_signal(struct tree *t, int pid, const char *name)
{
	struct helper_signal_request req = { .pid = pid };
	struct call call = { .body = &req, .fd = -1, .reply_fd = -1 };
	int r;

	memcpy(req.signal, name, strlen(name));
	kernel.signalled = 0;
	r = helper_answer(&t->helper, *name ? HELPER_PROCESS_SIGNAL : HELPER_PROCESS_KILL, &call);
	assert_int_equal(r == 0, call.reason == HELPER_OK);
	assert_int_equal(r == 0, kernel.signalled != 0 && !kernel.gone);
	return call.reason;
}

static void the_cgroup_is_proof(void **state)
{
	static const char ours[] = "0::" UNIT "/vm-x\n";
	static const char other[] = "0::/user.slice/session-1.scope\n";
	static const char cmdline[] = "firecracker";
	struct tree t;

	(void)state;
	setup_tree(&t);
	put_file(&t, 100, "cgroup", ours, strlen(ours));
	assert_int_equal(send_signal(&t, 100, "usr1"), HELPER_OK);
	assert_int_equal(kernel.signalled, SIGUSR1);
	assert_int_equal(send_signal(&t, 100, ""), HELPER_OK);
	assert_int_equal(kernel.signalled, SIGKILL);
	/* Another user's VM on the same host: its name is no proof. */
	put_file(&t, 101, "cgroup", other, strlen(other));
	put_file(&t, 101, "cmdline", cmdline, sizeof(cmdline));
	assert_int_equal(send_signal(&t, 101, "TERM"), HELPER_NOT_OURS);
	/* Ended in between, and never there. */
	kernel.gone = true;
	assert_int_equal(send_signal(&t, 100, "TERM"), HELPER_GONE);
	kernel.gone = false;
	assert_int_equal(send_signal(&t, 999, "TERM"), HELPER_GONE);
	assert_int_equal(send_signal(&t, 102, "TERM"), HELPER_NOT_OURS);
	teardown_tree(&t);
}

static void some_pids_are_never_touched(void **state)
{
	static const char ours[] = "0::" UNIT "\n";
	static const int pids[] = { 0, 1, -1, -100, INT32_MIN, 77 };
	struct tree t;

	(void)state;
	setup_tree(&t);
	put_file(&t, 1, "cgroup", ours, strlen(ours));
	put_file(&t, 77, "cgroup", ours, strlen(ours));
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		assert_int_equal(send_signal(&t, pids[i], "TERM"), HELPER_BAD_PID);
		assert_int_equal(send_signal(&t, pids[i], ""), HELPER_BAD_PID);
	}
	assert_int_equal(kernel.opened, 0);
	teardown_tree(&t);
}

/* A command line of three arguments with the socket at `path`. */
static void put_api_sock(struct tree *t, int pid, const char *path)
{
	char line[512] = "firecracker";
	size_t n = strlen(line) + 1;

	n += (size_t)snprintf(line + n, sizeof(line) - n, "--api-sock") + 1;
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%s", path) + 1;
	put_file(t, pid, "cmdline", line, n);
}

static void the_api_socket_is_proof_for_the_owner(void **state)
{
	char path[256];
	char link[256];
	struct tree t;

	(void)state;
	setup_tree(&t);
	(void)snprintf(path, sizeof(path), "%s/vms/a/fc.sock", t.path);
	put_api_sock(&t, 100, path);
	/* The folder has to be there, without a link on the way. */
	assert_int_equal(send_signal(&t, 100, "TERM"), HELPER_NOT_OURS);
	(void)snprintf(link, sizeof(link), "%s/vms/a", t.path);
	(void)close(open_dir_create(link, 0700));
	assert_int_equal(send_signal(&t, 100, "TERM"), HELPER_OK);
	/* A link in the runtime folder leads elsewhere. */
	(void)snprintf(link, sizeof(link), "%s/vms/b", t.path);
	assert_int_equal(symlink("/tmp", link), 0);
	(void)snprintf(path, sizeof(path), "%s/vms/b/fc.sock", t.path);
	put_api_sock(&t, 101, path);
	assert_int_equal(send_signal(&t, 101, "TERM"), HELPER_NOT_OURS);
	(void)snprintf(path, sizeof(path), "%s/vms/a/../a/fc.sock", t.path);
	put_api_sock(&t, 102, path);
	assert_int_equal(send_signal(&t, 102, "TERM"), HELPER_NOT_OURS);
	(void)snprintf(path, sizeof(path), "%s-evil/fc.sock", t.path);
	put_api_sock(&t, 103, path);
	assert_int_equal(send_signal(&t, 103, "TERM"), HELPER_NOT_OURS);
	/* Anybody can write that on their own command line: only the owner's processes count. */
	t.config.owner_uid = getuid() + 1;
	assert_int_equal(send_signal(&t, 100, "TERM"), HELPER_NOT_OURS);
	teardown_tree(&t);
}

/* --- the proof, on real processes --- */

/* The parent goes on in the middle of execve(2), when the new command line may not be there yet. */
static void wait_for_command_line(pid_t pid)
{
	char path[64];
	char byte;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	for (int i = 0; i < 1000; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, &byte, 1);

		(void)close(fd);
		if (n == 1)
			return;
		(void)usleep(1000);
	}
	fail_msg("process %d has no command line", (int)pid);
}

static void real_processes(void **state)
{
	const char *const plain[] = { "/bin/sleep", "60", NULL };
	const char *argv[] = { "/bin/sh",     "-c",         "while :; do sleep 1; done",
			       "firecracker", "--api-sock", NULL,
			       NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc ours CLEANUP(proc_kill_p) = PROC_INIT;
	struct proc other CLEANUP(proc_kill_p) = PROC_INIT;
	struct error err = ERROR_INIT;
	char path[256];
	struct tree t;
	int status;

	(void)state;
	setup_tree(&t);
	t.helper.sys = &sys_linux;
	(void)close(t.helper.proc_fd);
	t.helper.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/fc.sock", t.path);
	argv[5] = path;
	spec.argv = argv;
	assert_int_equal(proc_spawn(&spec, &ours, &err), 0);
	spec.argv = plain;
	assert_int_equal(proc_spawn(&spec, &other, &err), 0);
	wait_for_command_line(ours.pid);
	/* The real process is signalled by the kernel, not by the fake that send_signal() watches.
	 */
	struct helper_signal_request req = { .pid = other.pid };
	struct call call = { .body = &req, .fd = -1, .reply_fd = -1 };

	assert_int_equal(helper_answer(&t.helper, HELPER_PROCESS_KILL, &call), -EPERM);
	assert_int_equal(call.reason, HELPER_NOT_OURS);
	assert_int_equal(proc_signal(&other, 0), 0);
	req.pid = ours.pid;
	memcpy(req.signal, "SIGTERM", 8);
	assert_int_equal(helper_answer(&t.helper, HELPER_PROCESS_SIGNAL, &call), 0);
	assert_int_equal(proc_wait(&ours, 10000, -1, &status), 0);
	assert_int_equal(status, SIGTERM);
	assert_int_equal(helper_answer(&t.helper, HELPER_PROCESS_SIGNAL, &call), -ESRCH);
	assert_int_equal(call.reason, HELPER_GONE);
	teardown_tree(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_by_name_only),
		cmocka_unit_test(ids_and_names_of_interfaces),
		cmocka_unit_test(addresses_of_guests_only),
		cmocka_unit_test(cgroups_by_whole_components_from_the_root),
		cmocka_unit_test(sockets_on_command_lines),
		cmocka_unit_test(paths_below_a_folder),
		cmocka_unit_test(the_cgroup_is_proof),
		cmocka_unit_test(some_pids_are_never_touched),
		cmocka_unit_test(the_api_socket_is_proof_for_the_owner),
		cmocka_unit_test(real_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
