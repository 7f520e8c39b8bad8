/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper gives up before it reads its first request. What it starts (nft, resolvectl, the
 * jailer) inherits all of it.
 */
#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "helper/helper.h"

enum { WORD_MAX = 32 };

/* Takes a word of a list with blanks between; false at its end. */
static bool next_word(const char **list, char word[WORD_MAX])
{
	size_t len = strcspn(*list, " ");

	(void)snprintf(word, WORD_MAX, "%.*s", (int)len, *list);
	*list += len + ((*list)[len] == ' ');
	return len > 0;
}

/* The words of HELPER_CAPABILITIES as bits. */
static uint64_t wanted_capabilities(void)
{
	const char *at = HELPER_CAPABILITIES;
	char name[WORD_MAX];
	uint64_t bits = 0;

	while (next_word(&at, name))
		bits |= (uint64_t)1 << capng_name_to_capability(name + strlen("cap_"));
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
	static const char refused[] =
		"acct add_key adjtimex bpf clock_adjtime clock_settime delete_module "
		"finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter "
		"io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl "
		"lookup_dcookie mount_setattr move_mount open_by_handle_at open_tree "
		"perf_event_open process_vm_readv process_vm_writev ptrace quotactl reboot "
		"request_key setdomainname sethostname settimeofday swapoff swapon syslog "
		"userfaultfd vhangup";
	const char *at = refused;
	char name[WORD_MAX];
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	while (r == 0 && next_word(&at, name))
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
