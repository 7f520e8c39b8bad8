/* SPDX-License-Identifier: Apache-2.0 */
/* The API's view of a run. Environment and files are not shown: they may be secrets. */
#include <assert.h>

#include "lib/base/clock.h"
#include "server/run/run_internal.h"

static const char *const state_names[] = {
	[RUN_QUEUED] = "queued", [RUN_RUNNING] = "running",     [RUN_SUCCEEDED] = "succeeded",
	[RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled",
};
static_assert(ARRAY_SIZE(state_names) == RUN_STATE_MAX_, "every state has a name");

static const char *const phase_names[] = {
	[RUN_PHASE_QUEUED] = "queued",         [RUN_PHASE_CREATING] = "creating",
	[RUN_PHASE_COPYING] = "copying",       [RUN_PHASE_RUNNING] = "running",
	[RUN_PHASE_COLLECTING] = "collecting", [RUN_PHASE_DELETING] = "deleting",
	[RUN_PHASE_ENDED] = "ended",
};
static_assert(ARRAY_SIZE(phase_names) == RUN_PHASE_MAX_, "every phase has a name");

const char *run_state_name(enum run_state state)
{
	return state_names[state];
}

const char *run_phase_name(enum run_phase phase)
{
	return phase_names[phase];
}

static void set_text(json_t *o, const char *name, const char *text)
{
	if (text && text[0])
		(void)json_object_set_new(o, name, json_string(text));
}

static void set_time(json_t *o, const char *name, int64_t wall_ms)
{
	char when[32];

	if (wall_ms)
		(void)json_object_set_new(o, name, json_string(clock_format_ms(wall_ms, when)));
}

/* Each phase ends where the next one that there was begins. */
static json_t *stages(const struct run *run)
{
	int64_t origin = run->begun_us[RUN_PHASE_QUEUED];
	json_t *list = json_array();

	for (size_t i = 0; i < RUN_PHASE_ENDED; i++) {
		int64_t end = 0;
		json_t *o;

		if (!run->begun_us[i])
			continue;
		for (size_t k = i + 1; k <= RUN_PHASE_ENDED && !end; k++)
			end = run->begun_us[k];
		o = json_pack("{s:s, s:f}", "name", phase_names[i], "start_ms",
			      (double)(run->begun_us[i] - origin) / 1000.0);
		if (end)
			(void)json_object_set_new(
				o, "duration_ms",
				json_real((double)(end - run->begun_us[i]) / 1000.0));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static json_t *artifacts(const struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; i < run->n_artifacts; i++) {
		const struct run_artifact *a = &run->artifacts[i];
		json_t *o =
			json_pack("{s:s, s:I}", "path", a->path, "size_bytes", (json_int_t)a->size);

		set_text(o, "problem", a->problem);
		(void)json_array_append_new(list, o);
	}
	return list;
}

static void add_exit(const struct run *run, json_t *o)
{
	if (!run->has_exit)
		return;
	(void)json_object_set_new(
		o, "exit_code", run->exit.exited ? json_integer(run->exit.exit_code) : json_null());
	(void)json_object_set_new(o, "signal",
				  run->exit.exited ? json_null() : json_integer(run->exit.signal));
	(void)json_object_set_new(o, "timed_out", json_boolean(run->exit.timed_out));
}

json_t *run_to_json(const struct run *run)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "id", run->id, "state", run_state_name(run->state),
			      "phase", run_phase_name(run->phase));

	if (run->state == RUN_QUEUED && turns_position(run) > 0)
		(void)json_object_set_new(o, "position", json_integer(turns_position(run)));
	set_text(o, "image", run->spec.image);
	(void)json_object_set_new(
		o, "labels", run->spec.labels ? json_deep_copy(run->spec.labels) : json_object());
	(void)json_object_set_new(o, "argv",
				  run->spec.argv
					  ? json_deep_copy(run->spec.argv)
					  : json_pack("[sss]", "sh", "-c", run->spec.script));
	set_text(o, "requested_by", run->who);
	set_text(o, "vm", run->vm_id);
	(void)json_object_set_new(o, "kept", json_boolean(run->kept));
	set_time(o, "created", run->created_ms);
	set_time(o, "started", run->started_ms);
	set_time(o, "ended", run->ended_ms);
	if (run->ended_ms)
		(void)json_object_set_new(o, "duration_ms",
					  json_real((double)(run->begun_us[RUN_PHASE_ENDED] -
							     run->begun_us[RUN_PHASE_QUEUED]) /
						    1000.0));
	add_exit(run, o);
	(void)json_object_set_new(o, "stages", stages(run));
	(void)json_object_set_new(o, "output_truncated", json_boolean(run->log_full));
	(void)json_object_set_new(o, "artifacts", artifacts(run));
	if (json_array_size(run->reports) > 0)
		(void)json_object_set_new(o, "junit", json_deep_copy(run->reports));
	if (run->error.code != ERR_NONE)
		(void)json_object_set_new(o, "error", run->runs->c.problem(&run->error));
	return o;
}
