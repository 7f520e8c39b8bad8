/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs as operations on a VM's own queue, and the way from a worker to the loop and back. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/vm/snapshot.h"
#include "server/vm/vm_internal.h"

/* For how long a database that is locked is tried again. */
enum { LOCKED_MS = 60 * 1000, LOCKED_STEP_MS = 100 };

struct call {
	const struct verb_job *job;
	vm_loop_fn *fn;
	void *data;
	struct error *err;
	const char *op; /* of the worker, for what is logged and told meanwhile */
	int result;
};

static void run_call(void *data)
{
	struct call *call = data;
	struct vm *vm = vms_find(call->job->vms, call->job->id);

	log_set_op(call->op);
	if (vm)
		call->result = call->fn(vm, call->data, call->err);
	log_set_op(NULL);
	if (!vm)
		call->result = error_set(call->err, ERR_NOT_FOUND, "VM %s is gone", call->job->id);
}

int vm_on_loop(const struct verb_job *job, vm_loop_fn *fn, void *data, struct error *err)
{
	struct call call = { .job = job, .fn = fn, .data = data, .err = err, .op = log_op() };
	int r = loop_call(job->vms->c.loop, run_call, &call);

	if (r < 0)
		return error_set(err, ERR_CANCELLED, "the server is ending");
	return call.result;
}

int vm_on_loop_stored(struct op *op, const struct verb_job *job, vm_loop_fn *fn, void *data,
		      struct error *err)
{
	int64_t until = clock_mono_us() + (int64_t)LOCKED_MS * 1000;

	for (;;) {
		struct pollfd p = { .fd = op_cancel_fd(op), .events = POLLIN };
		int r = vm_on_loop(job, fn, data, err);

		if (r == 0 || err->code != ERR_UNAVAILABLE || clock_mono_us() > until ||
		    poll(&p, 1, LOCKED_STEP_MS) > 0)
			return r;
		*err = ERROR_INIT;
	}
}

int vm_submit_spec(struct vm *vm, struct op_spec *spec, struct op **ret_op, struct error *err)
{
	int r;

	spec->target = spec->queue = vm->row.id;
	spec->target_name = vm->row.name;
	r = ops_submit(vm->vms->c.ops, spec, ret_op, err);
	if (r < 0)
		return r;
	vm->turn++;
	op_unref(vm->op);
	vm->op = op_ref(*ret_op);
	return 0;
}

/* Where stop leads to there is nothing left to do; a suspended VM is not one that was stopped. */
static int still_allowed(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;
	bool rests = vm->state == VM_CREATED || vm->state == VM_STOPPED || vm->state == VM_FAILED;

	if (job->verb == VM_VERB_STOP && rests)
		return 0;
	return vm_state_allows(vm->state, job->verb, vm->row.name, err);
}

/* What was asked before may have left the VM in another state than it was accepted in. */
static int run_verb(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	/* These overtake, and end well wherever the VM has come to meanwhile. */
	bool always = job->verb == VM_VERB_KILL || job->verb == VM_VERB_DELETE;
	int r = always ? 0 : vm_on_loop(job, still_allowed, job, err);

	return r < 0 ? r : job->run(op, job, err);
}

static int submit(struct vm *vm, const char *kind, op_run_fn *run, op_done_fn *done,
		  const struct verb_job *job, struct op **ret_op, struct error *err)
{
	struct verb_job *copy = calloc(1, sizeof(*copy));
	struct op_spec spec = { .kind = kind,
				.request_by = job->who,
				.run = run,
				.done = done,
				.free_data = free,
				.data = copy };

	if (!copy)
		return error_errno(err, -ENOMEM, "%s", kind);
	*copy = *job;
	copy->vms = vm->vms;
	(void)snprintf(copy->id, sizeof(copy->id), "%s", vm->row.id);
	return vm_submit_spec(vm, &spec, ret_op, err);
}

static void release_snapshot(struct op *op, void *data)
{
	struct verb_job *job = data;

	(void)op;
	snapshots_unref(job->vms->c.snapshots, job->snapshot);
}

int vm_submit(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
	      struct op **ret_op, struct error *err)
{
	return submit(vm, kind, run, NULL, job, ret_op, err);
}

int vm_submit_holding(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
		      struct snapshot *snapshot, struct op **ret_op, struct error *err)
{
	int r = submit(vm, kind, run, release_snapshot, job, ret_op, err);

	if (r == 0)
		snapshots_ref(snapshot);
	return r;
}

int vm_submit_verb(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
		   struct snapshot *snapshot, struct op **ret_op, struct error *err)
{
	struct verb_job checked = *job;
	int r = vm_state_allows(vm->state, job->verb, vm->row.name, err);

	if (r < 0)
		return r;
	checked.run = run;
	return snapshot ? vm_submit_holding(vm, kind, run_verb, &checked, snapshot, ret_op, err)
			: vm_submit(vm, kind, run_verb, &checked, ret_op, err);
}
