/* SPDX-License-Identifier: Apache-2.0 */
/* Pause and resume: the guest's CPUs stand still, its memory stays. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "server/vm/clock.h"

enum { PAUSE_DEADLINE_MS = 10 * 1000 };

struct pausing {
	struct verb_job *job;
	const char *op;
	const struct vmm_driver *driver;
	const struct vmm_config *
		config; /* replaced by operations of this VM's queue only, so it may be read here */
};

static int look(struct vm *vm, void *data, struct error *err)
{
	struct pausing *p = data;

	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
		return error_set(err, ERR_STATE, "VM '%s' has ended meanwhile", vm->row.name);
	p->driver = vm->driver;
	p->config = &vm->boot.config;
	return 0;
}

static int set_state(struct vm *vm, void *data, struct error *err)
{
	struct pausing *p = data;
	bool resume = p->job->verb == VM_VERB_RESUME;
	enum vm_state state = resume ? VM_RUNNING : VM_PAUSED;
	int r = look(vm, data, err);

	if (r < 0)
		return r;
	vm->doubt = VM_SURE;
	if (resume)
		vm_clock_set(vm);
	if (vm->state != state)
		vm_set_state(vm, state, resume ? "running" : "paused",
			     p->job->reason ? p->job->reason : "", p->job->who, p->op);
	vm_touch(vm);
	vm_arm_idle(vm);
	return 0;
}

static int run_pause(struct op *op, void *data, struct error *err)
{
	struct pausing p = { .job = data, .op = op_id(op) };
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)PAUSE_DEADLINE_MS * 1000,
				 .cancel_fd = op_cancel_fd(op) };
	int r;

	op_stage(op, "vmm");
	r = vm_on_loop(p.job, look, &p, err);
	if (r < 0)
		return r;
	r = p.job->verb == VM_VERB_RESUME ? p.driver->resume(p.config, &wait, err)
					  : p.driver->pause(p.config, &wait, err);
	if (r < 0) {
		vm_doubt(p.job);
		return r;
	}
	return vm_on_loop(p.job, set_state, &p, err);
}

/* --- a monitor that was told and did not say that it had done it --- */

static int doubt(struct vm *vm, void *data, struct error *err)
{
	(void)data;
	(void)err;
	/* One that hangs is told again by the checks that come anyway. */
	if (vm->doubt != VM_SURE)
		return 0;
	vm->doubt = VM_UNSURE;
	vms_check_soon(vm->vms);
	return 0;
}

void vm_doubt(const struct verb_job *job)
{
	struct error ignored;

	(void)!vm_on_loop(job, doubt, NULL, &ignored);
}

static int submit(struct vm *vm, enum vm_verb verb, const char *kind, const char *reason,
		  const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = verb, .reason = reason };

	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit_verb(vm, kind, run_pause, &job, NULL, ret_op, err);
}

int vm_pause(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	return vm_pause_for(vm, NULL, who, ret_op, err);
}

int vm_pause_for(struct vm *vm, const char *reason, const char *who, struct op **ret_op,
		 struct error *err)
{
	return submit(vm, VM_VERB_PAUSE, "vm.pause", reason, who, ret_op, err);
}

int vm_resume(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	/* A suspended VM comes back by a start that begins with its memory. */
	if (vm->state == VM_SUSPENDED)
		return vm_start(vm, who, ret_op, err);
	return submit(vm, VM_VERB_RESUME, "vm.resume", NULL, who, ret_op, err);
}

/*
 * A server that dies between the pause and the resume of a snapshot leaves a VMM whose guest stands
 * still although its row says that it runs; so does a monitor that was told to pause and answered
 * too late. Telling one that runs to run changes nothing.
 */
int vm_hold_to_row(struct vm *vm, struct error *err)
{
	struct verb_job job = { .verb = vm->state == VM_PAUSED ? VM_VERB_PAUSE : VM_VERB_RESUME,
				.who = "server" };
	struct op *op;

	return vm_submit(vm, "vm.adopt", run_pause, &job, &op, err);
}
