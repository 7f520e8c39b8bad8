/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a VMM still answers, and what it says of its guest. */
#pragma once

#include "server/vm/vm_internal.h"

/* Asks, unless it has been asked already; the answer changes state or reason, and is told. */
void vm_probe(struct vm *vm);
/* Its process is gone, or the VM. */
void vm_probe_end(struct vm *vm);

/* check.c: an event for what was not as recorded, and what was done. */
void vm_tell(struct vm *vm, const char *found, const char *done);
/* The same for what lasts: told when it begins. True then. */
bool vm_tell_once(struct vm *vm, unsigned int what, bool is, const char *found, const char *done);
/* check.c: the guest of a VM in doubt is told again what its row says. */
void vm_settle(struct vm *vm);

/* room.c: whether VMs would be held back now, and the reason that lets them go on by themselves. */
bool vms_room_is_short(struct vms *vms);
extern const char vms_room_reason[];
