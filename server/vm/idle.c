/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/idle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/vm/snapshot.h"
#include "server/vm/vm_internal.h"

enum { RETRY_US = 5 * 1000 * 1000 };

/* A row that stays behind is past its end at the next start, and goes then. */
static void forget_hold(struct vm *vm, struct vm_hold *hold)
{
	struct error err;

	if (holds_delete(vm->vms->c.store, hold->row.id, &err) < 0)
		log_fields(LOG_WARN, "hold not removed", "vm", vm->row.id, "error", err.msg, NULL);
	free(hold);
}

static void drop_expired(struct vm *vm)
{
	int64_t now = clock_wall_ms();
	struct vm_hold **p = &vm->holds;

	while (*p) {
		struct vm_hold *hold = *p;

		if (hold->row.expires_ms > now) {
			p = &hold->next;
			continue;
		}
		*p = hold->next;
		forget_hold(vm, hold);
		/* A hold counts as activity up to its end. */
		vm_touch(vm);
	}
}

/* The shorter of its two limits; 0: it has none. */
static int64_t limit_us(const struct vm *vm)
{
	int64_t stop = vm->row.idle_stop_s;
	int64_t suspend = vm->row.idle_suspend_s;

	return (stop && (!suspend || stop < suspend) ? stop : suspend) * 1000000;
}

static bool runs(const struct vm *vm)
{
	return vm->state == VM_RUNNING && limit_us(vm) > 0;
}

/* From now on, should nothing happen. */
static int64_t left_us(const struct vm *vm)
{
	int64_t idle_us = limit_us(vm);
	int64_t left = vm->active_us + idle_us - clock_mono_us();
	int64_t now_ms = clock_wall_ms();

	if (vm->busy > 0)
		left = idle_us;
	for (const struct vm_hold *h = vm->holds; h; h = h->next)
		if ((h->row.expires_ms - now_ms) * 1000 + idle_us > left)
			left = (h->row.expires_ms - now_ms) * 1000 + idle_us;
	return left;
}

static int go_to_sleep(struct vm *vm, struct op **ret_op, struct error *err)
{
	bool suspend = limit_us(vm) == vm->row.idle_suspend_s * 1000000;

	return suspend ? vm_suspend(vm, VM_BY_IDLE, ret_op, err)
		       : vm_stop(vm, VM_BY_IDLE, ret_op, err);
}

static void on_idle(void *data)
{
	struct vm *vm = data;
	struct error err;
	struct op *op;
	int64_t left;

	drop_expired(vm);
	if (!runs(vm)) {
		/* Still starting, or paused: it may run again. */
		if (vm->proc.pidfd >= 0 && limit_us(vm) > 0)
			loop_timer_set(vm->idle_timer, limit_us(vm));
		return;
	}
	left = left_us(vm);
	if (left > 0) {
		loop_timer_set(vm->idle_timer, left);
		return;
	}
	if (go_to_sleep(vm, &op, &err) < 0) {
		log_fields(LOG_WARN, "idle VM still runs", "vm", vm->row.id, "error", err.msg,
			   NULL);
		loop_timer_set(vm->idle_timer, RETRY_US);
	}
}

void vm_arm_idle(struct vm *vm)
{
	int64_t left;

	if (limit_us(vm) <= 0) {
		loop_timer_free(vm->idle_timer);
		vm->idle_timer = NULL;
		return;
	}
	if (!vm->idle_timer && loop_timer_new(vm->vms->c.loop, on_idle, vm, &vm->idle_timer) < 0) {
		log_fields(LOG_ERROR, "no timer for an idle VM", "vm", vm->row.id, NULL);
		return;
	}
	left = left_us(vm);
	loop_timer_set(vm->idle_timer, left > 0 ? left : 0);
}

void vm_busy(struct vms *vms, const char *id, int step)
{
	struct vm *vm = vms_find(vms, id);

	if (!vm)
		return;
	vm->busy += step;
	vm_touch(vm);
}

int vm_hold(struct vm *vm, uint32_t ttl_s, const char *reason, const char *who,
	    const struct vm_hold **ret_hold, struct error *err)
{
	struct vm_hold *hold;
	size_t n = 0;

	drop_expired(vm);
	for (const struct vm_hold *h = vm->holds; h; h = h->next)
		n++;
	if (n >= VM_HOLDS_MAX)
		return error_set(err, ERR_NO_ROOM, "VM '%s' has %zu holds; at most %d are kept",
				 vm->row.name, n, VM_HOLDS_MAX);
	hold = calloc(1, sizeof(*hold));
	if (!hold)
		return error_errno(err, -ENOMEM, "hold");
	(void)snprintf(hold->row.id, sizeof(hold->row.id), "%s", id_new().s);
	(void)snprintf(hold->row.vm_id, sizeof(hold->row.vm_id), "%s", vm->row.id);
	(void)snprintf(hold->row.reason, sizeof(hold->row.reason), "%s", reason ? reason : "");
	(void)snprintf(hold->row.who, sizeof(hold->row.who), "%s", who);
	hold->row.expires_ms = clock_wall_ms() + (int64_t)ttl_s * 1000;
	if (holds_insert(vm->vms->c.store, &hold->row, err) < 0) {
		free(hold);
		return error_wrap(err, "hold of VM '%s'", vm->row.name);
	}
	hold->next = vm->holds;
	vm->holds = hold;
	vm_touch(vm);
	*ret_hold = hold;
	return 0;
}

int vm_release(struct vm *vm, const char *hold_id, struct error *err)
{
	drop_expired(vm);
	for (struct vm_hold **p = &vm->holds; *p; p = &(*p)->next) {
		struct vm_hold *hold = *p;

		if (!streq(hold->row.id, hold_id))
			continue;
		*p = hold->next;
		forget_hold(vm, hold);
		vm_touch(vm);
		vm_arm_idle(vm);
		return 0;
	}
	return error_set(err, ERR_NOT_FOUND, "VM '%s' has no hold %s", vm->row.name, hold_id);
}

const struct vm_hold *vm_holds(struct vm *vm)
{
	drop_expired(vm);
	return vm->holds;
}

static int load_hold(const struct hold_row *row, void *data, struct error *err)
{
	struct vm *vm = vms_find(data, row->vm_id);
	struct vm_hold *hold = vm ? calloc(1, sizeof(*hold)) : NULL;

	if (vm && !hold)
		return error_errno(err, -ENOMEM, "hold");
	if (!vm || !hold)
		return 0;
	hold->row = *row;
	hold->next = vm->holds;
	vm->holds = hold;
	return 0;
}

int vm_holds_load(struct vms *vms, struct error *err)
{
	int r = holds_each(vms->c.store, load_hold, vms, err);

	for (struct vm *vm = vms->first; r == 0 && vm; vm = vm->next)
		drop_expired(vm);
	return r;
}

void vm_holds_free(struct vm *vm)
{
	while (vm->holds) {
		struct vm_hold *hold = vm->holds;

		vm->holds = hold->next;
		free(hold);
	}
}

int64_t vm_active_ms(const struct vm *vm)
{
	int64_t now = clock_wall_ms();

	return vm->busy > 0 ? now : now - (clock_mono_us() - vm->active_us) / 1000;
}

int64_t vm_sleeps_ms(const struct vm *vm)
{
	return runs(vm) ? clock_wall_ms() + left_us(vm) / 1000 : 0;
}
