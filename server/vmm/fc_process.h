/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a Firecracker process comes to be: directly as our own child, or in a jail (fc_jail.h).
 */
#pragma once

#include "server/vmm/fc_version.h"
#include "server/vmm/vmm.h"

struct fc_launch {
	const struct vmm_config *config;
	int run_dir_fd; /* borrowed */
	bool with_boot; /* kernel and initrd are needed: not for a restore */
	/* Filled in by the launcher: how the guest sees the disks. */
	char disk_ids[VMM_DISKS_MAX][24];
};

/* Starts the process with its descriptors in place and its API socket on its way. *ret_proc is the
 * caller's; nothing is left running on failure. */
typedef int fc_launcher(struct fc_launch *launch, const struct vmm_wait *wait,
			struct proc *ret_proc, struct error *err);
fc_launcher fc_launch_direct;

/* Waits until the API answers; checks and returns its version. */
int fc_await_api(int run_dir_fd, const struct proc *proc, const struct vmm_wait *wait,
		 struct fc_version *ret_version, struct error *err) MUST_USE;

/* Pure: what Firecracker's exit status means. NULL when it means nothing in particular. */
const char *fc_exit_meaning(int exit_status);
