/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/vm/execs_internal.h"
#include "server/vm/vm_internal.h"

#define BIT(x) (1U << (x))

static const char *const verb_names[] = {
	[VM_VERB_START] = "start",       [VM_VERB_STOP] = "stop",
	[VM_VERB_RESTART] = "restart",   [VM_VERB_KILL] = "kill",
	[VM_VERB_PAUSE] = "pause",       [VM_VERB_RESUME] = "resume",
	[VM_VERB_DELETE] = "delete",     [VM_VERB_EXEC] = "exec",
	[VM_VERB_SNAPSHOT] = "snapshot", [VM_VERB_FORK] = "fork",
	[VM_VERB_SUSPEND] = "suspend",   [VM_VERB_RESTORE] = "restore",
	[VM_VERB_RECOVER] = "recover",
};
static_assert(ARRAY_SIZE(verb_names) == VM_VERB_MAX_, "every verb has a name");

/* The table of docs/architecture.md. */
static const struct {
	const char *name;
	unsigned int next;  /* states that may follow */
	unsigned int verbs; /* what a caller may ask for */
} states[] = {
	[VM_CREATED] = { "created", BIT(VM_STARTING) | BIT(VM_FAILED) | BIT(VM_DELETING),
			 BIT(VM_VERB_START) | BIT(VM_VERB_DELETE) },
	[VM_STARTING] = { "starting",
			  BIT(VM_RUNNING) | BIT(VM_STOPPED) | BIT(VM_FAILED) | BIT(VM_STOPPING) |
				  BIT(VM_SUSPENDED) | BIT(VM_DELETING),
			  BIT(VM_VERB_STOP) | BIT(VM_VERB_KILL) | BIT(VM_VERB_DELETE) },
	[VM_RUNNING] = { "running",
			 BIT(VM_PAUSED) | BIT(VM_STOPPING) | BIT(VM_STOPPED) | BIT(VM_SUSPENDED) |
				 BIT(VM_FAILED) | BIT(VM_DELETING),
			 BIT(VM_VERB_STOP) | BIT(VM_VERB_RESTART) | BIT(VM_VERB_KILL) |
				 BIT(VM_VERB_PAUSE) | BIT(VM_VERB_DELETE) | BIT(VM_VERB_EXEC) |
				 BIT(VM_VERB_SNAPSHOT) | BIT(VM_VERB_FORK) | BIT(VM_VERB_SUSPEND) |
				 BIT(VM_VERB_RESTORE) },
	[VM_PAUSED] = { "paused",
			BIT(VM_RUNNING) | BIT(VM_STOPPING) | BIT(VM_STOPPED) | BIT(VM_SUSPENDED) |
				BIT(VM_FAILED) | BIT(VM_DELETING),
			BIT(VM_VERB_STOP) | BIT(VM_VERB_RESUME) | BIT(VM_VERB_KILL) |
				BIT(VM_VERB_DELETE) | BIT(VM_VERB_SNAPSHOT) | BIT(VM_VERB_FORK) |
				BIT(VM_VERB_SUSPEND) | BIT(VM_VERB_RESTORE) },
	[VM_STOPPING] = { "stopping",
			  BIT(VM_STOPPED) | BIT(VM_FAILED) | BIT(VM_DELETING) | BIT(VM_STARTING) |
				  BIT(VM_RUNNING),
			  BIT(VM_VERB_KILL) | BIT(VM_VERB_DELETE) },
	[VM_STOPPED] = { "stopped", BIT(VM_STARTING) | BIT(VM_FAILED) | BIT(VM_DELETING),
			 BIT(VM_VERB_START) | BIT(VM_VERB_DELETE) | BIT(VM_VERB_SNAPSHOT) |
				 BIT(VM_VERB_RESTORE) },
	[VM_SUSPENDED] = { "suspended",
			   BIT(VM_STARTING) | BIT(VM_STOPPED) | BIT(VM_FAILED) | BIT(VM_DELETING),
			   BIT(VM_VERB_START) | BIT(VM_VERB_RESUME) | BIT(VM_VERB_KILL) |
				   BIT(VM_VERB_DELETE) | BIT(VM_VERB_EXEC) },
	[VM_FAILED] = { "failed", BIT(VM_STARTING) | BIT(VM_STOPPED) | BIT(VM_DELETING),
			BIT(VM_VERB_START) | BIT(VM_VERB_RECOVER) | BIT(VM_VERB_DELETE) |
				BIT(VM_VERB_SNAPSHOT) | BIT(VM_VERB_RESTORE) },
	[VM_DELETING] = { "deleting", 0, BIT(VM_VERB_DELETE) },
};
static_assert(ARRAY_SIZE(states) == VM_STATE_MAX_, "every state has a row");

const char *vm_state_name(enum vm_state state)
{
	return states[state].name;
}

const char *vm_verb_name(enum vm_verb verb)
{
	return verb_names[verb];
}

int vm_state_parse(const char *name, enum vm_state *ret_state)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (streq(states[i].name, name)) {
			*ret_state = (enum vm_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool vm_state_may_follow(enum vm_state from, enum vm_state to)
{
	return states[from].next & BIT(to);
}

int vm_state_allows(enum vm_state state, enum vm_verb verb, const char *name, struct error *err)
{
	char allowed[192] = "";
	size_t n = 0;

	if (states[state].verbs & BIT(verb))
		return 0;
	for (int v = 0; v < VM_VERB_MAX_; v++) {
		if ((states[state].verbs & BIT(v)) && n < sizeof(allowed))
			n += (size_t)snprintf(allowed + n, sizeof(allowed) - n, "%s%s",
					      n ? ", " : "", verb_names[v]);
	}
	(void)error_set(err, ERR_STATE, "VM '%s' is %s; %s is not possible now (possible: %s)",
			name, states[state].name, verb_names[verb], allowed);
	for (int v = 0; v < VM_VERB_MAX_; v++)
		if (states[state].verbs & BIT(v))
			error_allow(err, verb_names[v]);
	return error_to_errno(err);
}

static int save(struct vm *vm, struct error *err)
{
	int r = vms_set_state(vm->vms->c.store, &vm->row, vm->stored, err);

	vm->vms->untold++;
	if (r == 0)
		(void)snprintf(vm->stored, sizeof(vm->stored), "%s", vm->row.state);
	if (r == 0 && vm->unsaved)
		r = vms_set_process(vm->vms->c.store, &vm->row, err);
	return r;
}

/* The VM is what it is whether the store can say so or not; the next check tries again. */
void vm_save(struct vm *vm)
{
	struct error err;
	int r = save(vm, &err);

	if (r < 0 && !vm->unsaved)
		log_fields(LOG_ERROR, "state not stored", "vm", vm->row.id, "state", vm->row.state,
			   "error", err.msg, NULL);
	vm->unsaved = r < 0;
}

void vm_stand_on(struct vm *vm, const char *snapshot)
{
	(void)snprintf(vm->row.snapshot, sizeof(vm->row.snapshot), "%s", snapshot);
	vm->unsaved = true;
	vm_save(vm);
}

static void fill_row(struct vm *vm, enum vm_state state, const char *desired, const char *reason)
{
	assert(vm->state == state || vm_state_may_follow(vm->state, state));
	(void)snprintf(vm->row.state, sizeof(vm->row.state), "%s", vm_state_name(state));
	(void)snprintf(vm->row.reason, sizeof(vm->row.reason), "%s", reason ? reason : "");
	if (desired)
		(void)snprintf(vm->row.desired, sizeof(vm->row.desired), "%s", desired);
	vm->row.since_ms = clock_wall_ms();
}

static void take_state(struct vm *vm, enum vm_state state, const char *by, const char *op_id)
{
	const char *from = vm_state_name(vm->state);

	if (vm->state != state)
		vm->tries = 0;
	vm->state = state;
	/* A VM whose suspended memory was dropped has no guest that could be let go. */
	if (state == VM_STOPPED || state == VM_FAILED)
		vm_execs_detach(vm, false);
	events_emit(vm->vms->c.events,
		    &(struct event){ .kind = "vm.state",
				     .target = vm->row.id,
				     .target_name = vm->row.name,
				     .by = by,
				     .operation = op_id,
				     .data = json_pack("{s:s, s:s, s:s}", "state", vm->row.state,
						       "from", from, "reason", vm->row.reason) });
}

void vm_set_state(struct vm *vm, enum vm_state state, const char *desired, const char *reason,
		  const char *by, const char *op_id)
{
	fill_row(vm, state, desired, reason);
	vm_save(vm);
	take_state(vm, state, by, op_id);
}

int vm_intend(struct vm *vm, enum vm_state state, const char *desired, const char *by,
	      const char *op_id, struct error *err)
{
	struct vm_row before = vm->row;
	int r;

	fill_row(vm, state, desired, "");
	r = save(vm, err);
	if (r < 0) {
		vm->row = before;
		return r;
	}
	vm->unsaved = false;
	take_state(vm, state, by, op_id);
	return 0;
}

void vm_delete_later(struct vm *vm, const char *by, const char *op_id, const struct error *why)
{
	log_fields(LOG_ERROR, "row not removed; it is tried again", "vm", vm->row.id, "error",
		   why->msg, NULL);
	vm_set_state(vm, VM_DELETING, "deleted", why->msg, by, op_id);
}
