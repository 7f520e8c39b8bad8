/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot and restore of a QEMU guest: the two entries of its driver. */
#pragma once

#include "server/vmm/qmp.h"
#include "server/vmm/vmm.h"

int qemu_snapshot(const struct vmm_config *config, int dir_fd, const struct vmm_wait *wait,
		  struct error *err);
int qemu_restore(const struct vmm_config *config, int dir_fd, const struct vmm_hook *before_run,
		 const struct vmm_wait *wait, struct proc *ret_proc, struct error *err);
/*
 * Ends a capture that its server did not live to see the end of: left alone it would stop the guest
 * when it is through.
 */
int qemu_end_capture(struct qmp *q, struct error *err) MUST_USE;
