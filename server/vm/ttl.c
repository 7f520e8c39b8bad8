/* SPDX-License-Identifier: Apache-2.0 */
/* The hard end of a VM that was given one. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/vm/vm_internal.h"

/* Asks again later when the moment is bad: a VM must not outlive its end because memory was short
 * for a second. */
enum { RETRY_US = 5 * 1000 * 1000 };

static void on_end(void *data)
{
	struct vm *vm = data;
	struct error err;
	struct op *op;

	/* The wall clock may have been set back since the timer was. */
	if (clock_wall_ms() < vm->row.ends_ms) {
		vm_arm_ttl(vm);
		return;
	}
	if (vm_delete(vm, "ttl", &op, &err) < 0) {
		log_fields(LOG_WARN, "VM past its end not deleted yet", "vm", vm->row.id, "error",
			   err.msg, NULL);
		loop_timer_set(vm->ttl_timer, RETRY_US);
	}
}

void vm_arm_ttl(struct vm *vm)
{
	int64_t left_ms;

	if (vm->row.ends_ms == 0) {
		loop_timer_free(vm->ttl_timer);
		vm->ttl_timer = NULL;
		return;
	}
	if (!vm->ttl_timer && loop_timer_new(vm->vms->c.loop, on_end, vm, &vm->ttl_timer) < 0) {
		log_fields(LOG_ERROR, "no timer for the end of a VM", "vm", vm->row.id, NULL);
		return;
	}
	left_ms = vm->row.ends_ms - clock_wall_ms();
	loop_timer_set(vm->ttl_timer, left_ms > 0 ? left_ms * 1000 : 0);
}
