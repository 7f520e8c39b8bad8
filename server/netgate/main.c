/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-netgate: stands between QEMU (descriptor 3) and passt (descriptor 4) and takes out what a
 * guest must not reach; what passes is counted in the file that is descriptor 5. Goes to the
 * background once it is ready, ends with either side, and may make no system calls but those of the
 * relay: what it parses comes from a guest.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "server/netgate/relay.h"

enum { VMM_FD = 3, PASST_FD = 4, COUNTERS_FD = 5 };

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the audit architecture of this machine"
#endif

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define ALLOW_CALL(nr)                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int confine(void)
{
	static struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW_CALL(SYS_read),
		ALLOW_CALL(SYS_write),
		ALLOW_CALL(SYS_ppoll),
		ALLOW_CALL(SYS_fcntl),
		ALLOW_CALL(SYS_exit_group),
		ALLOW_CALL(SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	static const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return 0;
}

/* Without the file nobody reads what is counted. */
static struct net_counters *map_counters(void)
{
	static struct net_counters unread;
	void *p = mmap(NULL, sizeof(unread), PROT_READ | PROT_WRITE, MAP_SHARED, COUNTERS_FD, 0);

	return p == MAP_FAILED ? &unread : p;
}

int main(void)
{
	struct net_counters *counters = map_counters();
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	pid_t child;
	int r;

	(void)sigaction(SIGPIPE, &ignore, NULL);
	child = fork();
	if (child < 0)
		return 1;
	if (child > 0) {
		/* Whoever waits for us finds it there. */
		counters->gate = (uint64_t)child;
		_exit(0);
	}
	(void)setsid();
	(void)prctl(PR_SET_NAME, "banger-netgate");
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	r = confine();
	if (r == 0)
		relay_run(VMM_FD, PASST_FD, counters);
	_exit(r < 0 ? 1 : 0);
}
