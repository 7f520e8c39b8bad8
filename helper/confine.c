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

/* The words of HELPER_CAPABILITIES as bits. */
static uint64_t wanted_capabilities(void)
{
	static const char text[] = HELPER_CAPABILITIES;
	uint64_t bits = 0;

	for (const char *p = text; *p;) {
		size_t len = strcspn(p, " ");
		char name[32] = "";
		int cap;

		if (len > 4 && len - 4 < sizeof(name))
			memcpy(name, p + 4, len - 4);
		cap = capng_name_to_capability(name);
		if (cap >= 0)
			bits |= (uint64_t)1 << cap;
		p += len + (p[len] == ' ');
	}
	return bits;
}

/* Never more than there was; the bounding set is left alone where it is small enough already. */
static int drop_capabilities(void)
{
	uint64_t wanted = wanted_capabilities();
	capng_select_t select = CAPNG_SELECT_CAPS;
	uint64_t held = 0;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (unsigned int cap = 0; cap <= (unsigned int)CAP_LAST_CAP; cap++) {
		if (capng_have_capability(CAPNG_PERMITTED, cap))
			held |= (uint64_t)1 << cap;
		if (!(wanted >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			select = CAPNG_SELECT_BOTH;
	}
	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned int cap = 0; cap <= (unsigned int)CAP_LAST_CAP; cap++) {
		if (wanted & held & ((uint64_t)1 << cap))
			(void)capng_update(CAPNG_ADD,
					   CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
					   cap);
	}
	return capng_apply(select) < 0 ? -EPERM : 0;
}

/*
 * Refused with EPERM: what neither the helper nor anything that it starts has a use for. A list of
 * what is allowed would have to hold all that Firecracker's jailer, nft and resolvectl of every
 * version call; that coarser list stands in the unit (SystemCallFilter=).
 */
static int filter_calls(void)
{
	static const int refused[] = {
		SCMP_SYS(acct),
		SCMP_SYS(add_key),
		SCMP_SYS(adjtimex),
		SCMP_SYS(bpf),
		SCMP_SYS(clock_adjtime),
		SCMP_SYS(clock_settime),
		SCMP_SYS(delete_module),
		SCMP_SYS(finit_module),
		SCMP_SYS(fsconfig),
		SCMP_SYS(fsmount),
		SCMP_SYS(fsopen),
		SCMP_SYS(fspick),
		SCMP_SYS(init_module),
		SCMP_SYS(io_uring_enter),
		SCMP_SYS(io_uring_setup),
		SCMP_SYS(ioperm),
		SCMP_SYS(iopl),
		SCMP_SYS(kcmp),
		SCMP_SYS(kexec_file_load),
		SCMP_SYS(kexec_load),
		SCMP_SYS(keyctl),
		SCMP_SYS(lookup_dcookie),
		SCMP_SYS(mount_setattr),
		SCMP_SYS(move_mount),
		SCMP_SYS(open_by_handle_at),
		SCMP_SYS(open_tree),
		SCMP_SYS(perf_event_open),
		SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev),
		SCMP_SYS(ptrace),
		SCMP_SYS(quotactl),
		SCMP_SYS(reboot),
		SCMP_SYS(request_key),
		SCMP_SYS(setdomainname),
		SCMP_SYS(sethostname),
		SCMP_SYS(settimeofday),
		SCMP_SYS(swapoff),
		SCMP_SYS(swapon),
		SCMP_SYS(syslog),
		SCMP_SYS(userfaultfd),
		SCMP_SYS(vhangup),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(refused) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
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
