/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the audit architecture of this machine"
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* All that the file system rights of Landlock's first version name. */
#define FS_ALL ((UINT64_C(1) << 13) - 1)

enum { CPU_S = 1800 };
static const rlim_t memory_max = 768U << 20;

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define ALLOW_CALL(nr)                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int limit(void)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit cpu = { CPU_S, CPU_S };
	const struct rlimit memory = { memory_max, memory_max };

	/* No file may grow: what is written goes into sockets. A sanitizer reserves terabytes of
	 * addresses. */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_FSIZE, &none) < 0 ||
	    setrlimit(RLIMIT_CPU, &cpu) < 0 || (!SANITIZED && setrlimit(RLIMIT_AS, &memory) < 0))
		return -errno;
	return 0;
}

static int forbid_files(void)
{
	const uint64_t attr = FS_ALL;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	int r = 0;

	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

static int forbid_calls(void)
{
	static struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW_CALL(SYS_read),
		ALLOW_CALL(SYS_pread64),
		ALLOW_CALL(SYS_write),
		ALLOW_CALL(SYS_sendto),
		ALLOW_CALL(SYS_recvmsg),
		ALLOW_CALL(SYS_close),
		ALLOW_CALL(SYS_lseek),
		ALLOW_CALL(SYS_fstat),
		ALLOW_CALL(SYS_newfstatat),
		ALLOW_CALL(SYS_brk),
		ALLOW_CALL(SYS_mmap),
		ALLOW_CALL(SYS_munmap),
		ALLOW_CALL(SYS_mremap),
		ALLOW_CALL(SYS_madvise),
		ALLOW_CALL(SYS_mprotect),
		ALLOW_CALL(SYS_futex),
		ALLOW_CALL(SYS_getrandom),
		ALLOW_CALL(SYS_clock_gettime),
		ALLOW_CALL(SYS_exit_group),
		ALLOW_CALL(SYS_rt_sigreturn),
		ALLOW_CALL(SYS_restart_syscall),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	static const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

int confine_self(void)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : limit();

	if (r == 0)
		r = forbid_files();
	/* A sanitizer makes calls of its own when it reports. */
	return r < 0 || SANITIZED ? r : forbid_calls();
}
