/* SPDX-License-Identifier: Apache-2.0 */
/* Who a guest is: the identity of a copy, and the mark on a disk whose guest has none yet. */
#pragma once

#include "server/vm/vm_internal.h"

enum { VM_IDENTITY_MS = 30 * 1000 };

enum vm_newness {
	VM_ITSELF,
	VM_STRANGER,           /* it has been somebody else */
	VM_STRANGER_WITH_KEYS, /* the same, but its SSH host keys are its own */
};

/*
 * Loop. Asks the agent of `vm`, which has a guest link, to take time and random numbers; a stranger
 * takes name, machine id, host keys, addresses and, unless it is "", `boot_id` as well. `fn` is
 * called once.
 */
void vm_identify(struct vm *vm, enum vm_newness newness, const char *boot_id, guest_reply_fn *fn,
		 void *data);

/* Any thread. `dir_fd` is the VM's folder; before a disk is copied into it. 0 or -errno. */
int vm_mark_stranger(int dir_fd) MUST_USE;
/* Any thread. Whether the disk in the folder of this VM is still another machine's. */
bool vm_is_stranger(const struct vms *vms, const char *id);
/* Worker. Once the guest has an identity of its own. */
int vm_stranger_no_more(const struct verb_job *job, struct error *err) MUST_USE;
