/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper gives up before it reads its first request. What it starts (nft, resolvectl, the
 * jailer) inherits all of it.
 */
#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "helper/helper.h"

/* Takes away, never adds; what the bounding set has not got any more needs no CAP_SETPCAP. */
static int drop_capabilities(void)
{
	char names[] = HELPER_CAPABILITIES;
	char *rest = names;
	const char *name;
	uint64_t kept = 0;

	while ((name = strsep(&rest, " ")))
		kept |= (uint64_t)1 << capng_name_to_capability(name + strlen("cap_"));
	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (unsigned int cap = 0; cap <= (unsigned int)CAP_LAST_CAP; cap++) {
		bool keep = kept >> cap & 1;

		(void)capng_update(CAPNG_DROP,
				   keep ? CAPNG_INHERITABLE
					: CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE,
				   cap);
		if (!keep && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

/*
 * Refused with EPERM: what neither the helper nor anything that it starts has a use for. A list of
 * what is allowed would have to hold all that Firecracker's jailer, nft and resolvectl of every
 * version call; that coarser list stands in the unit (SystemCallFilter=).
 */
static int filter_calls(void)
{
	char refused[] =
		"acct add_key adjtimex bpf clock_adjtime clock_settime delete_module "
		"finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter "
		"io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl "
		"lookup_dcookie mount_setattr move_mount open_by_handle_at open_tree "
		"perf_event_open process_vm_readv process_vm_writev ptrace quotactl reboot "
		"request_key setdomainname sethostname settimeofday swapoff swapon syslog "
		"userfaultfd vhangup";
	char *rest = refused;
	const char *name;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	while (r == 0 && (name = strsep(&rest, " ")))
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(name),
				     0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int confine(void)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	r = drop_capabilities();
	return r < 0 ? r : filter_calls();
}
