/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activity of VMs, and the end or sleep of those that nobody uses. Someone at work (vm_busy), a
 * hold, and a moment less than `idle_stop_s` or `idle_suspend_s` ago (vm_touch) keep a VM running.
 * Holds outlive the server. All on the loop's thread.
 */
#pragma once

#include "server/store/holds.h"
#include "server/vm/vm.h"

enum { VM_HOLDS_MAX = 64 };

struct vm_hold {
	struct vm_hold *next;
	struct hold_row row;
};

/* Somebody begins (+1) or ends (-1) work in a VM: a command, a terminal, a tunnel. The id may be
 * that of a VM that is gone. */
void vm_busy(struct vms *vms, const char *id, int step);

/* Keeps the VM from being stopped or suspended for idleness until then. *ret_hold is borrowed. */
int vm_hold(struct vm *vm, uint32_t ttl_s, const char *reason, const char *who,
	    const struct vm_hold **ret_hold, struct error *err) MUST_USE;
int vm_release(struct vm *vm, const char *hold_id, struct error *err) MUST_USE;
/* Those that have not expired, newest first; NULL behind the last. */
const struct vm_hold *vm_holds(struct vm *vm);
/* When somebody was last at work in it: now, while somebody is. */
int64_t vm_active_ms(const struct vm *vm);
/* When it would be stopped or suspended if nothing happened any more; 0: never. */
int64_t vm_sleeps_ms(const struct vm *vm);
