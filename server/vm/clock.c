/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time that is sent is old when it arrives, by as long as that took: much, on a host with too
 * much to do. So the guest is asked for its time, which lies between our times of asking and of
 * being answered, and told by how much to move its clock, which is right however late it hears of
 * it. Of several answers the quickest counts.
 */
#include "server/vm/clock.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

enum {
	CALL_MS = 10 * 1000,
	TICK_US = 15 * 1000 * 1000,
	TRIES = 5,
	QUICK_US = 20 * 1000,      /* an answer that needs no second one */
	START_SLACK_US = 5 * 1000, /* nobody has seen this clock yet */
	SLACK_US = 100 * 1000,     /* programs may live by it: not moved for less */
	JUMP_US = 1000 * 1000,
};

/* --- one clock --- */

struct asking {
	struct vms *vms;
	char id[ID_LEN + 1];
	unsigned int turn; /* of the VM: a later one has begun where it is another */
	int64_t slack_us;
	int64_t asked_us; /* wall clock, as all here that is not a length */
	int64_t off_us;   /* by the quickest answer so far */
	int64_t took_us;  /* that one; INT64_MAX: none yet */
	int tries;
};

static void ignore_reply(void *data, const json_t *reply, const struct error *err)
{
	(void)data;
	(void)reply;
	(void)err;
}

static void ask(struct asking *a, struct guest *guest);

static void move_clock(const struct asking *a, struct vm *vm)
{
	if (a->off_us < a->slack_us && a->off_us > -a->slack_us)
		return;
	log_fields(LOG_DEBUG, "the guest's clock is moved", "vm", vm->row.name, NULL);
	guest_call(vm->guest, "/clock", json_pack("{s:I}", "adjust_us", (json_int_t)a->off_us),
		   CALL_MS, ignore_reply, NULL);
}

/* NULL when it has gone, or two would move its clock by the same difference. */
static struct vm *the_vm(const struct asking *a)
{
	struct vm *vm = vms_find(a->vms, a->id);

	return vm && vm->guest && vm->clock_turn == a->turn ? vm : NULL;
}

static void on_time(void *data, const json_t *reply, const struct error *err)
{
	struct asking *a = data;
	json_t *time = json_object_get(reply, "realtime_us");
	int64_t now_us = clock_wall_us();
	int64_t took_us = now_us - a->asked_us;
	struct vm *vm = json_is_integer(time) ? the_vm(a) : NULL;

	(void)err; /* then there is no reply */
	if (!vm || took_us < 0) {
		free(a);
		return;
	}
	if (took_us < a->took_us) {
		a->took_us = took_us;
		a->off_us = a->asked_us + took_us / 2 - (int64_t)json_integer_value(time);
	}
	if (++a->tries < TRIES && a->took_us > QUICK_US) {
		ask(a, vm->guest);
		return;
	}
	move_clock(a, vm);
	free(a);
}

static void ask(struct asking *a, struct guest *guest)
{
	a->asked_us = clock_wall_us();
	guest_call(guest, "/clock", json_object(), CALL_MS, on_time, a);
}

static struct asking *asking_new(struct vm *vm, int64_t slack_us)
{
	struct asking *a = vm->guest && guest_is_up(vm->guest) ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	a->vms = vm->vms;
	memcpy(a->id, vm->row.id, sizeof(a->id));
	a->slack_us = slack_us;
	a->took_us = INT64_MAX;
	a->turn = ++vm->clock_turn;
	vm->clock_us = clock_mono_us();
	return a;
}

/* What is asked of the guest at once could overtake the setting. */
static void on_set(void *data, const json_t *reply, const struct error *err)
{
	struct asking *a = data;
	struct vm *vm = reply ? the_vm(a) : NULL;

	(void)err;
	if (vm)
		ask(a, vm->guest);
	else
		free(a);
}

void vm_clock_set(struct vm *vm)
{
	struct asking *a = asking_new(vm, START_SLACK_US);

	if (a)
		guest_call(vm->guest, "/clock",
			   json_pack("{s:I}", "realtime_us", (json_int_t)clock_wall_us()), CALL_MS,
			   on_set, a);
}

static void check_clock(struct vm *vm)
{
	struct asking *a = asking_new(vm, SLACK_US);

	if (a)
		ask(a, vm->guest);
}

/* --- all of them --- */

static void on_tick(void *data)
{
	struct vms *vms = data;
	int64_t now_us = clock_mono_us();
	int64_t apart_us = clock_wall_us() - now_us;
	bool jumped = apart_us - vms->clock_apart_us > JUMP_US ||
		      vms->clock_apart_us - apart_us > JUMP_US;
	int64_t every_us = (int64_t)vms->c.clock_s * 1000000;

	vms->clock_apart_us = apart_us;
	for (struct vm *vm = vms->first; vm; vm = vm->next)
		if (vm->state == VM_RUNNING && (jumped || now_us - vm->clock_us >= every_us))
			check_clock(vm);
	loop_timer_set(vms->clock_timer, every_us < TICK_US ? every_us : TICK_US);
}

int vms_clock_begin(struct vms *vms, struct error *err)
{
	int r = loop_timer_new(vms->c.loop, on_tick, vms, &vms->clock_timer);

	if (r < 0)
		return error_errno(err, r, "timer");
	vms->clock_apart_us = clock_wall_us() - clock_mono_us();
	loop_timer_set(vms->clock_timer, TICK_US);
	return 0;
}
