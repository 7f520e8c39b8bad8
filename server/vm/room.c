/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the host's disk is nearly full, guests that write would be the ones to fill it: below half
 * of the reserve all running VMs are paused, and when the whole of it is free again they go on. The
 * reason in the row is what tells them from VMs that somebody paused, also after a restart.
 */
#include <stdio.h>

#include "lib/base/log.h"
#include "server/vm/probe.h"

const char vms_room_reason[] =
	"the host's disk is nearly full; it goes on when there is room again";

static void hold_back(struct vm *vm)
{
	struct error err;
	struct op *op;

	if (vm->state != VM_RUNNING || vm_has_operation(vm))
		return;
	if (vm_pause_for(vm, vms_room_reason, "server", &op, &err) < 0)
		log_fields(LOG_ERROR, "VM not paused", "vm", vm->row.id, "error", err.msg, NULL);
}

static void let_go_on(struct vm *vm)
{
	struct error err;
	struct op *op;

	if (vm->state != VM_PAUSED || vm_has_operation(vm) ||
	    !streq(vm->row.reason, vms_room_reason))
		return;
	if (vm_resume(vm, "server", &op, &err) < 0)
		log_fields(LOG_ERROR, "VM not resumed", "vm", vm->row.id, "error", err.msg, NULL);
}

bool vms_room_is_short(struct vms *vms)
{
	uint64_t free_mib = 0;

	return vms_disk_free_mib(vms, &free_mib) == 0 && free_mib < vms->c.disk_reserve_mib;
}

void vms_check_room(struct vms *vms)
{
	uint64_t free_mib = 0;

	if (vms_disk_free_mib(vms, &free_mib) < 0)
		return;
	if (free_mib >= vms->c.disk_reserve_mib)
		for (struct vm *vm = vms->first; vm; vm = vm->next)
			let_go_on(vm);
	else if (free_mib < vms->c.disk_reserve_mib / 2)
		for (struct vm *vm = vms->first; vm; vm = vm->next)
			hold_back(vm);
}
