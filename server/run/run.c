/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run, phase by phase. Whatever ends a phase calls run_next() or run_fail(); the next one
 * begins from a timer, so that no callback of a guest or an operation finds itself inside another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/run/run_internal.h"
#include "server/vm/exec_words.h"
#include "server/vm/idle.h"
#include "server/vm/snapshot.h"

void run_set_phase(struct run *run, enum run_phase phase)
{
	run->phase = phase;
	run->begun_us[phase] = clock_mono_us();
	if (phase != RUN_PHASE_ENDED)
		run_log_line(run, json_pack("{s:s, s:s}", "type", "stage", "name",
					    run_phase_name(phase)));
	run_save(run);
}

void run_next(struct run *run)
{
	loop_timer_set(run->later, 0);
}

void run_fail(struct run *run, const struct error *err)
{
	if (run->error.code == ERR_NONE)
		run->error = *err;
	run_next(run);
}

void run_let_go(struct run *run)
{
	struct error err = ERROR_INIT;

	if (run->exec)
		guest_exec_kill(run->exec);
	run->exec = NULL;
	if (run->stream)
		guest_stream_abort(run->stream);
	run->stream = NULL;
	if (run->op_watch)
		op_unwatch(run->op, run->op_watch);
	run->op_watch = NULL;
	op_unref(run->op);
	run->op = NULL;
	loop_timer_clear(run->timer);
	free(run->sending);
	run->sending = NULL;
	close_keep_errno(take_fd(&run->artifact_fd));
	junit_free(TAKE_PTR(run->junit));
	if (run->busy)
		vm_busy(run->runs->c.vms, run->vm_id, -1);
	run->busy = false;
	if (run->upload) {
		const struct run_upload_callbacks *upload = TAKE_PTR(run->upload);

		(void)error_set(&err, ERR_STATE, "the run is ending");
		upload->end(run->upload_data, &err);
	}
}

static void on_op_ended(struct op *op, void *data)
{
	struct run *run = data;

	run->op_watch = NULL;
	if (op_get_state(op) == OP_SUCCEEDED)
		run_next(run);
	else
		run_fail(run, op_error(op));
}

static void watch_op(struct run *run, struct op *op)
{
	struct error err = ERROR_INIT;

	run->op = op_ref(op);
	run->op_watch = op_watch(op, on_op_ended, run);
	if (!run->op_watch && !op_ended(op)) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory to watch an operation");
		run_fail(run, &err);
	}
}

/* --- the VM --- */

static json_t *vm_labels(const struct run *run)
{
	json_t *labels = run->spec.labels ? json_deep_copy(run->spec.labels) : json_object();

	(void)json_object_set_new(labels, "banger.run", json_string(run->id));
	return labels;
}

static int make_vm(struct run *run, struct error *err)
{
	const struct run_spec *s = &run->spec;
	json_auto_t *labels = vm_labels(run);
	struct vm *vm = NULL;
	struct op *op = NULL;
	char name[32];
	struct vm_spec spec = { .name = name,
				.image = s->image,
				.kernel = s->kernel,
				.vcpus = s->vcpus,
				.memory_mib = s->memory_mib,
				.disk_mib = s->disk_mib,
				.labels = labels,
				.network = s->network,
				.nat = s->nat,
				.init = s->init,
				.start = true,
				.boot = s->boot };
	int r;

	(void)snprintf(name, sizeof(name), "run-%s", run->id);
	if (s->from_snapshot) {
		spec.source = snapshots_find(run->runs->c.snapshots, s->from_snapshot);
		if (!spec.source)
			return error_set(err, ERR_NOT_FOUND, "/from_snapshot: no snapshot '%.64s'",
					 s->from_snapshot);
	}
	r = vm_create(run->runs->c.vms, &spec, run->who, &vm, &op, err);
	if (r < 0)
		return r;
	(void)snprintf(run->vm_id, sizeof(run->vm_id), "%s", vm_row(vm)->id);
	watch_op(run, op);
	return 0;
}

static unsigned int others_running(const struct run *run)
{
	unsigned int queued;
	unsigned int running;

	runs_count(run->runs, &queued, &running);
	return running - (run->state == RUN_RUNNING);
}

bool run_start(struct run *run)
{
	struct error err = ERROR_INIT;
	int r;

	run->state = RUN_RUNNING;
	run->runs->places_known = false;
	r = make_vm(run, &err);
	if (r < 0 && err.code == ERR_NO_ROOM && others_running(run) > 0) {
		run->state = RUN_QUEUED;
		run->runs->places_known = false;
		return false;
	}
	turns_served(run);
	run->started_ms = clock_wall_ms();
	run_set_phase(run, RUN_PHASE_CREATING);
	if (r < 0)
		run_fail(run, &err);
	return true;
}

static void delete_vm(struct run *run)
{
	struct vm *vm = run->vm_id[0] ? vms_find(run->runs->c.vms, run->vm_id) : NULL;
	bool failed = run->error.code != ERR_NONE || !run->has_exit || !run->exit.exited ||
		      run->exit.exit_code != 0;
	struct error err = ERROR_INIT;
	struct op *op = NULL;

	run_let_go(run);
	run->kept = vm && failed && !run->cancelled && run->spec.keep &&
		    streq(run->spec.keep, "on_failure");
	run_set_phase(run, RUN_PHASE_DELETING);
	if (!vm || run->kept)
		run_next(run);
	else if (vm_delete(vm, run->who, &op, &err) < 0)
		run_fail(run, &err);
	else
		watch_op(run, op);
}

/* --- the command --- */

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	run_log_output(data, is_stderr, bytes, len);
	return true;
}

static void on_exec_end(void *data, const struct guest_exec_end *end)
{
	struct run *run = data;

	run->exec = NULL;
	if (end->error.code != ERR_NONE) {
		run_fail(run, &end->error);
		return;
	}
	run->exit = *end;
	run->has_exit = true;
	run_next(run);
}

static int begin_exec(struct run *run, struct error *err)
{
	static const struct guest_exec_callbacks callbacks = { .output = on_output,
							       .end = on_exec_end };
	const struct run_spec *s = &run->spec;
	const char *cwd = json_string_value(json_object_get(s->workspace, "path"));
	json_auto_t *script = s->script ? json_pack("[sss]", "sh", "-c", s->script) : NULL;
	struct guest_exec_spec spec = { .argv = script ? script : s->argv,
					.env = s->env,
					.cwd = s->cwd ? s->cwd : cwd,
					.user = s->user,
					.timeout_ms = s->timeout_s * 1000U };
	struct exec_words words CLEANUP(exec_words_done) = { .config = NULL };
	struct vm *vm = NULL;
	int r = vms_get(run->runs->c.vms, run->vm_id, &vm, err);

	if (r == 0)
		r = vm_exec_words(vm, &spec, &words, err);
	if (r < 0)
		return r;
	if (!vm_guest(vm))
		return error_set(err, ERR_GUEST, "the VM has ended");
	return guest_exec_start(vm_guest(vm), run->id, &spec, &callbacks, run, &run->exec, err);
}

static void run_command(struct run *run)
{
	struct error err = ERROR_INIT;

	if (!run->busy)
		vm_busy(run->runs->c.vms, run->vm_id, 1);
	run->busy = true;
	run_set_phase(run, RUN_PHASE_RUNNING);
	if (begin_exec(run, &err) < 0)
		run_fail(run, &err);
}

/* --- the end --- */

static enum run_state outcome(const struct run *run)
{
	if (run->cancelled)
		return RUN_CANCELLED;
	if (run->error.code != ERR_NONE || !run->exit.exited || run->exit.exit_code != 0)
		return RUN_FAILED;
	return RUN_SUCCEEDED;
}

static json_t *last_line(const struct run *run)
{
	json_auto_t *view = run_to_json(run);

	if (run->error.code != ERR_NONE)
		return json_pack("{s:s, s:O}", "type", "error", "problem",
				 json_object_get(view, "error"));
	return json_pack("{s:s, s:O, s:O, s:O, s:O}", "type", "exit", "exit_code",
			 json_object_get(view, "exit_code"), "signal",
			 json_object_get(view, "signal"), "timed_out",
			 json_object_get(view, "timed_out"), "duration_ms",
			 json_object_get(view, "duration_ms"));
}

static void finish(struct run *run)
{
	run_let_go(run);
	run->state = outcome(run);
	run->ended_ms = clock_wall_ms();
	run_set_phase(run, RUN_PHASE_ENDED);
	run_log_line(run, last_line(run));
	run_leave(run);
}

static bool work_is_over(const struct run *run)
{
	if (run->error.code != ERR_NONE || run->cancelled)
		return true;
	return run->phase == RUN_PHASE_COLLECTING ||
	       (run->phase == RUN_PHASE_RUNNING && run->n_artifacts == 0);
}

void run_step(struct run *run)
{
	op_unref(run->op);
	run->op = NULL;
	if (run->phase == RUN_PHASE_QUEUED || run->phase == RUN_PHASE_DELETING)
		finish(run);
	else if (work_is_over(run))
		delete_vm(run);
	else if (run->phase == RUN_PHASE_RUNNING)
		run_collect(run);
	else if (run->phase == RUN_PHASE_CREATING && (run->spec.files || run->spec.workspace))
		run_copy(run);
	else
		run_command(run);
}

void run_cancel(struct run *run, const char *who)
{
	struct error err = ERROR_INIT;

	if (run->cancelled || run->phase == RUN_PHASE_DELETING || run->phase == RUN_PHASE_ENDED)
		return;
	run->cancelled = true;
	run->runs->places_known = false;
	run_let_go(run);
	(void)error_set(&err, ERR_CANCELLED, "cancelled by %s", who);
	/* A deletion overtakes the operation that makes the VM. */
	run_fail(run, &err);
}
