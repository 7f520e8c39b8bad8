/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock and seccomp belong to a thread and are inherited by what it starts. So a thread is made
 * for the purpose: it confines itself, starts the process and ends; the server stays as it was.
 */
#include "server/vmm/confine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

/* Rights by the version of Landlock that brought them; older kernel headers lack the later ones. */
#define FS_VERSION_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER     (UINT64_C(1) << 13) /* 2 */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* 3 */
#define NET_TCP      UINT64_C(3)         /* 4: bind and connect */
#define SCOPE_ALL    UINT64_C(3)         /* 6: abstract unix sockets, signals */

#define FS_TREE                                                         \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |   \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |  \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define FS_READ_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

#if defined(__x86_64__)
#define X32_CALLS 0x40000000U
#endif

/* As the kernel of version 6 has it; an older one takes the front of it. */
struct ruleset_attr {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

int confine_version(void)
{
	long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return r < 0 ? 0 : (int)r;
}

void confine_allow(struct confine_rules *rules, const char *path, enum confine_access access)
{
	assert(rules->n < CONFINE_RULES_MAX);
	rules->v[rules->n].path = path;
	rules->v[rules->n].access = access;
	rules->n++;
}

void confine_allow_system(struct confine_rules *rules)
{
	static const char *const readable[] = { "/usr", "/lib",  "/lib64", "/nix/store",
						"/etc", "/proc", "/sys" };
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/random",
					       "/dev/urandom", "/dev/kvm" };

	for (size_t i = 0; i < ARRAY_SIZE(readable); i++)
		confine_allow(rules, readable[i], CONFINE_READ);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		confine_allow(rules, devices[i], CONFINE_WRITE);
}

static int add_rule(int ruleset, const char *path, enum confine_access access, uint64_t handled)
{
	autoclose int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr attr;
	uint64_t rights = FS_READ_FILE;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (access == CONFINE_WRITE)
		rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;
	else if (access == CONFINE_TREE)
		rights = FS_TREE | FS_REFER | FS_TRUNCATE;
	else if (S_ISDIR(st.st_mode))
		rights |= LANDLOCK_ACCESS_FS_READ_DIR;
	attr = (struct landlock_path_beneath_attr){ .allowed_access = rights & handled,
						    .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
		return -errno;
	return 0;
}

/* A ruleset of all that this kernel can forbid; its descriptor. */
static int make_ruleset(const struct confine_rules *rules, int version)
{
	struct ruleset_attr attr = { .fs = FS_VERSION_1 };
	size_t size = sizeof(attr.fs);
	autoclose int fd = -1;

	if (version >= 2)
		attr.fs |= FS_REFER;
	if (version >= 3)
		attr.fs |= FS_TRUNCATE;
	if (version >= 4) {
		attr.net = NET_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (version >= 6) {
		attr.scoped = SCOPE_ALL;
		size = sizeof(attr);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < rules->n; i++) {
		int r = add_rule(fd, rules->v[i].path, rules->v[i].access, attr.fs);

		if (r < 0)
			return r;
	}
	return take_fd(&fd);
}

/* --- system calls --- */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the audit architecture of this machine"
#endif

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define REFUSE_CALL(nr)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)

/*
 * What Landlock does not see: sockets by name (the server's own and other monitors' would take
 * whoever has the owner's uid for the owner), and hands in other processes. Filters add up, so
 * QEMU's own comes on top.
 */
static int forbid_calls(void)
{
	static struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
#if defined(__x86_64__)
		/* The numbers of x32 are the same calls again. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
		REFUSE_CALL(SYS_socket),
		REFUSE_CALL(SYS_connect),
		REFUSE_CALL(SYS_bind),
		REFUSE_CALL(SYS_ptrace),
		REFUSE_CALL(SYS_process_vm_readv),
		REFUSE_CALL(SYS_process_vm_writev),
		REFUSE_CALL(SYS_pidfd_getfd),
		REFUSE_CALL(SYS_kcmp),
		/* Opens and connects behind the filter's back. */
		REFUSE_CALL(SYS_io_uring_setup),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

struct errand {
	const struct proc_spec *spec;
	int ruleset;
	struct proc proc;
	struct error *err;
	int result;
};

static int confine_thread(int ruleset)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return forbid_calls();
}

static void *run_errand(void *data)
{
	struct errand *e = data;
	int r = confine_thread(e->ruleset);

	if (r < 0)
		e->result = error_errno(e->err, r, "confine %s", e->spec->argv[0]);
	else
		e->result = proc_spawn(e->spec, &e->proc, e->err);
	return NULL;
}

int confine_spawn(const struct proc_spec *spec, const struct confine_rules *rules,
		  struct proc *ret_proc, struct error *err)
{
	int version = confine_version();
	autoclose int ruleset = version > 0 ? make_ruleset(rules, version) : -1;
	struct errand errand = { .spec = spec, .ruleset = ruleset, .proc = PROC_INIT, .err = err };
	pthread_t thread;
	int r;

	if (version > 0 && ruleset < 0)
		return error_errno(err, ruleset, "confine %s", spec->argv[0]);
	r = pthread_create(&thread, NULL, run_errand, &errand);
	if (r != 0)
		return error_errno(err, -r, "confine %s", spec->argv[0]);
	(void)pthread_join(thread, NULL);
	if (errand.result == 0)
		*ret_proc = errand.proc;
	return errand.result;
}
