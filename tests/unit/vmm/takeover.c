/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest has taken over its QEMU: this program, started with the rights that QEMU is started with,
 * tries to change or read what belongs to another VM, to a template or to the server. Each attempt
 * is made outside first, where it works: an attempt that can't succeed proves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/confine.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/template_memory.h"
#include "tests/unit/test.h"

enum { MEMORY_FD = 3, MEMORY_SIZE = 1024 * 1024, END_MS = 20 * 1000 };
/* Exit statuses of an attempt: none that a sanitizer or a failed start ends with. */
enum { SUCCEEDED = 40, REFUSED = 41 };

static char base[] = "/tmp/banger-takeover-XXXXXX";
static int victim_value = 1;

static const char *in_base(const char *name)
{
	static char path[100];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

/* --- attempts: true when they succeed --- */

static bool opens(const char *name, int flags)
{
	autoclose int fd = open(in_base(name), flags | O_CLOEXEC, 0600);

	return fd >= 0;
}

static bool writes_other_disk(pid_t victim)
{
	(void)victim;
	return opens("other/work.ext4", O_RDWR);
}

static bool reads_other_disk(pid_t victim)
{
	(void)victim;
	return opens("other/work.ext4", O_RDONLY);
}

static bool writes_template(pid_t victim)
{
	(void)victim;
	return opens("template/memory", O_RDWR) || opens("template/state", O_WRONLY) ||
	       opens("template/work.ext4", O_WRONLY | O_TRUNC);
}

static bool replaces_template(pid_t victim)
{
	char to[128];

	(void)victim;
	(void)snprintf(to, sizeof(to), "%s", in_base("template/spare"));
	return rename(in_base("own/spare"), to) == 0 || link(in_base("own/work.ext4"), to) == 0 ||
	       unlink(in_base("template/spare")) == 0 || opens("template/new", O_WRONLY | O_CREAT);
}

static bool writes_image(pid_t victim)
{
	(void)victim;
	return opens("root.squashfs", O_RDWR);
}

static bool connects(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_base(name));
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool reaches_a_socket(pid_t victim)
{
	(void)victim;
	return connects("other/qmp.sock");
}

static bool traces(pid_t victim)
{
	if (ptrace(PTRACE_SEIZE, victim, NULL, NULL) < 0)
		return false;
	(void)ptrace(PTRACE_INTERRUPT, victim, NULL, NULL);
	(void)waitpid(victim, NULL, __WALL);
	(void)ptrace(PTRACE_DETACH, victim, NULL, NULL);
	return true;
}

static bool writes_into_a_process(pid_t victim)
{
	int value = 1;
	struct iovec from = { &value, sizeof(value) };
	struct iovec to = { &victim_value, sizeof(victim_value) };
	char path[64];

	if (process_vm_writev(victim, &from, 1, &to, 1, 0) == (ssize_t)sizeof(value))
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim);
	{
		autoclose int fd = open(path, O_RDWR | O_CLOEXEC);

		return fd >= 0;
	}
}

/* The victim's copy of its memory. */
static bool takes_a_descriptor(pid_t victim)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)victim, MEMORY_FD);
	{
		autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

		return fd >= 0;
	}
}

static bool changes_memory_of(int fd)
{
	void *map = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map != MAP_FAILED || pwrite(fd, "x", 1, 0) == 1 ||
	       fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
	       ftruncate(fd, 0) == 0;
}

/* Its own descriptor of what all clones of the template map. */
static bool poisons_the_template(pid_t victim)
{
	autoclose int again = open("/proc/self/fd/3", O_RDWR | O_CLOEXEC);

	(void)victim;
	return changes_memory_of(MEMORY_FD) || (again >= 0 && changes_memory_of(again));
}

static bool writes_own_disk(pid_t victim)
{
	(void)victim;
	return opens("own/work.ext4", O_RDWR);
}

static bool maps_memory_private(pid_t victim)
{
	char *map = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, MEMORY_FD, 0);

	(void)victim;
	if (map == MAP_FAILED)
		return false;
	map[0] = 'x';
	return true;
}

static const struct attempt {
	const char *what;
	bool (*fn)(pid_t victim);
	bool landlock; /* is what stands in the way */
	bool allowed;
} attempts[] = {
	{ "write another VM's disk", writes_other_disk, true, false },
	{ "read another VM's disk", reads_other_disk, true, false },
	{ "write a template's files", writes_template, true, false },
	{ "replace a template's files", replaces_template, true, false },
	{ "write the image that all VMs share", writes_image, true, false },
	{ "open another process's descriptor", takes_a_descriptor, true, false },
	{ "reach another monitor's or the server's socket", reaches_a_socket, false, false },
	{ "trace another process", traces, false, false },
	{ "write into another process", writes_into_a_process, true, false },
	{ "change the memory of a template", poisons_the_template, false, false },
	{ "write its own disk", writes_own_disk, false, true },
	{ "map its template's memory", maps_memory_private, false, true },
};

/* Ends the process that makes the attempt; past what runs at exit, as LeakSanitizer traces there.
 */
static _Noreturn void attack(size_t i, pid_t victim)
{
	_exit(attempts[i].fn(victim) ? SUCCEEDED : REFUSED);
}

/* --- the other side --- */

static void make_file(const char *name)
{
	autoclose int fd = open(in_base(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text", 4), 4);
}

static void listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_base(name));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
}

static int setup(void **state)
{
	static const char *const files[] = { "own/work.ext4",   "own/spare",
					     "other/work.ext4", "template/memory",
					     "template/state",  "template/work.ext4",
					     "template/spare",  "root.squashfs",
					     "vmlinux" };
	static const char *const folders[] = { "own", "other", "template" };

	(void)state;
	assert_non_null(mkdtemp(base));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		assert_int_equal(mkdir(in_base(folders[i]), 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		make_file(files[i]);
	assert_int_equal(truncate(in_base("template/memory"), MEMORY_SIZE), 0);
	listen_at("other/qmp.sock");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return remove_tree_at(AT_FDCWD, base);
}

static bool succeeds_confined(size_t i, pid_t victim, int memory_fd)
{
	char root[128];
	char work[128];
	char kernel[128];
	char number[16];
	char pid[16];
	const struct vmm_config config = {
		.kernel = kernel,
		.disks = { { .serial = "root", .path = root, .read_only = true },
			   { .serial = "work", .path = work } },
		.n_disks = 2,
	};
	const char *const argv[] = { "/proc/self/exe", "attack", number, pid, base, NULL };
	const struct proc_fd fds[] = { { .ours = memory_fd, .theirs = MEMORY_FD } };
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct confine_rules rules = { .n = 0 };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int status;

	assert_true(n > 0);
	self[n] = '\0';
	(void)snprintf(root, sizeof(root), "%s", in_base("root.squashfs"));
	(void)snprintf(work, sizeof(work), "%s", in_base("own/work.ext4"));
	(void)snprintf(kernel, sizeof(kernel), "%s", in_base("vmlinux"));
	(void)snprintf(number, sizeof(number), "%zu", i);
	(void)snprintf(pid, sizeof(pid), "%d", (int)victim);
	qemu_allow_files(&rules, &config);
	confine_allow(&rules, self, CONFINE_READ);
	spec.argv = argv;
	spec.stderr_fd = STDERR_FILENO;
	spec.fds = fds;
	spec.n_fds = ARRAY_SIZE(fds);
	if (confine_spawn(&spec, &rules, &proc, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(proc_wait(&proc, END_MS, -1, &status), 0);
	if (!WIFEXITED(status) ||
	    (WEXITSTATUS(status) != SUCCEEDED && WEXITSTATUS(status) != REFUSED))
		fail_msg("'%s' did not end in order: %d", attempts[i].what, status);
	return WEXITSTATUS(status) == SUCCEEDED;
}

/* In a child of ours, with a memory that is not sealed: it has to work, or the attempt is none. */
static bool succeeds_free(size_t i, pid_t victim)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fd = memfd_create("open", 0);

		if (fd < 0 || ftruncate(fd, MEMORY_SIZE) < 0 || dup2(fd, MEMORY_FD) < 0)
			_exit(EXIT_FAILURE);
		attack(i, victim);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status) == SUCCEEDED;
}

static pid_t start_victim(int memory_fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* A failed assertion does not come back to end it. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(memory_fd, MEMORY_FD);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	return pid;
}

static void a_taken_over_monitor_harms_nobody_else(void **state)
{
	autoclose int file = open(in_base("template/memory"), O_RDONLY | O_CLOEXEC);
	autoclose int memory = template_memory_open(file);
	pid_t victim = start_victim(memory);

	(void)state;
	assert_true(memory >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		bool inside;

		if (attempts[i].landlock && confine_version() == 0)
			continue;
		inside = succeeds_confined(i, victim, memory);
		if (inside != attempts[i].allowed)
			fail_msg("a taken-over monitor %s: %s", inside ? "can" : "can't",
				 attempts[i].what);
		if (!succeeds_free(i, victim))
			fail_msg("outside it does not work either: %s", attempts[i].what);
	}
	(void)kill(victim, SIGKILL);
	(void)waitpid(victim, NULL, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_taken_over_monitor_harms_nobody_else, setup,
						teardown),
	};

	if (argc == 5 && streq(argv[1], "attack")) {
		(void)snprintf(base, sizeof(base), "%s", argv[4]);
		attack(strtoul(argv[2], NULL, 10), (pid_t)strtol(argv[3], NULL, 10));
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
