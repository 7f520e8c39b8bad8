/* SPDX-License-Identifier: Apache-2.0 */
/* All runs: who may begin, what is remembered, and what the last server left undone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/run/run_internal.h"
#include "server/store/runs.h"

#define FIELD(kind, member)                                                          \
	{                                                                            \
#member, JSON_FIELD_##kind, offsetof(struct run_spec, member), false \
	}
static const struct json_field fields[] = {
	FIELD(STRING, image),
	FIELD(STRING, kernel),
	FIELD(STRING, from_snapshot),
	FIELD(U32, vcpus),
	FIELD(U32, memory_mib),
	FIELD(U32, disk_mib),
	FIELD(VALUE, labels),
	FIELD(STRING, network),
	FIELD(BOOL, nat),
	FIELD(STRING, init),
	FIELD(STRING, boot),
	FIELD(VALUE, argv),
	FIELD(STRING, script),
	FIELD(VALUE, env),
	FIELD(STRING, cwd),
	FIELD(STRING, user),
	FIELD(U32, timeout_s),
	FIELD(VALUE, files),
	FIELD(VALUE, workspace),
	FIELD(VALUE, artifacts),
	FIELD(STRING, keep),
	FIELD(STRING, on_disconnect),
};
#undef FIELD

/* --- life of one --- */

static void run_free(struct run *run)
{
	loop_timer_free(run->timer);
	loop_timer_free(run->later);
	run_log_close(run);
	close_keep_errno(run->artifact_fd);
	free(run->sending);
	junit_free(run->junit);
	json_decref(run->reports);
	json_decref(run->body);
	free(run);
}

void run_save(struct run *run)
{
	json_auto_t *view = run_to_json(run);
	autofree char *text = json_text(view);
	struct error err = ERROR_INIT;

	if (!text || runs_put(run->runs->c.store, run->id, run_state_name(run->state),
			      run->created_ms, text, &err) < 0)
		log_error("run %s is not stored: %s", run->id, text ? err.msg : "out of memory");
	events_emit(run->runs->c.events,
		    &(struct event){ .kind = run->phase == RUN_PHASE_ENDED ? "run.ended"
									   : "run.changed",
				     .target = run->id,
				     .target_name = run->id,
				     .by = run->who,
				     .data = json_incref(view) });
}

static void on_later(void *data)
{
	run_step(data);
}

static void on_upload_late(void *data)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_TIMEOUT, "nobody has sent the workspace");
	run_fail(data, &err);
}

static int run_new(struct runs *runs, const char *id, const json_t *body, const char *who,
		   struct run **ret_run, struct error *err)
{
	struct run *run = calloc(1, sizeof(*run));
	const json_t *path;
	size_t i;
	int r;

	if (!run)
		return error_errno(err, -ENOMEM, "run");
	run->runs = runs;
	run->dir_fd = run->log_fd = run->artifact_fd = -1;
	run->spec = (struct run_spec){ .nat = true, .timeout_s = 3600 };
	(void)snprintf(run->id, sizeof(run->id), "%s", id ? id : id_new().s);
	(void)snprintf(run->who, sizeof(run->who), "%s", who);
	run->body = json_deep_copy(body);
	r = json_decode(run->body, fields, ARRAY_SIZE(fields), &run->spec, err);
	if (r == 0 && loop_timer_new(runs->c.loop, on_later, run, &run->later) < 0)
		r = error_errno(err, -ENOMEM, "run");
	if (r == 0 && loop_timer_new(runs->c.loop, on_upload_late, run, &run->timer) < 0)
		r = error_errno(err, -ENOMEM, "run");
	if (r == 0)
		r = run_log_open(run, err);
	if (r < 0) {
		run_free(run);
		return r;
	}
	json_array_foreach (run->spec.artifacts, i, path)
		if (run->n_artifacts < RUN_ARTIFACTS_MAX)
			run->artifacts[run->n_artifacts++].path = json_string_value(path);
	*ret_run = run;
	return 0;
}

int run_submit(struct runs *runs, const char *id, const json_t *body, const char *who,
	       struct run **ret_run, struct error *err)
{
	struct run_spec spec = { 0 };
	struct run **at = &runs->first;
	struct run *run = NULL;
	int r = json_decode(body, fields, ARRAY_SIZE(fields), &spec, err);

	if (r == 0)
		r = run_check(runs, &spec, err);
	if (r == 0 && runs->n >= RUN_QUEUE_MAX)
		r = error_set(err, ERR_NO_ROOM, "%d runs wait already", RUN_QUEUE_MAX);
	if (r == 0)
		r = run_new(runs, id, body, who, &run, err);
	if (r < 0)
		return r;
	while (*at)
		at = &(*at)->next;
	*at = run;
	runs->n++;
	runs->places_known = false;
	run->created_ms = clock_wall_ms();
	run_log_line(run, json_pack("{s:s, s:s}", "type", "run", "id", run->id));
	run_set_phase(run, RUN_PHASE_QUEUED);
	runs_kick(runs);
	*ret_run = run;
	return 0;
}

static void forget_old(struct runs *runs)
{
	struct error err = ERROR_INIT;
	char id[ID_LEN + 1];

	while (runs_oldest_beyond(runs->c.store, runs->c.kept, id, sizeof(id), &err) > 0) {
		(void)remove_tree_at(runs->dir_fd, id);
		if (runs_delete(runs->c.store, id, &err) < 0)
			break;
	}
	if (err.code != ERR_NONE)
		log_warn("old runs not forgotten: %s", err.msg);
}

void run_leave(struct run *run)
{
	struct runs *runs = run->runs;
	struct run **at = &runs->first;

	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
	runs->n--;
	runs->places_known = false;
	run_free(run);
	forget_old(runs);
	runs_kick(runs);
}

/* --- turns --- */

void runs_count(const struct runs *runs, unsigned int *ret_queued, unsigned int *ret_running)
{
	*ret_queued = 0;
	*ret_running = 0;
	for (const struct run *run = runs->first; run; run = run->next) {
		*ret_queued += run->state == RUN_QUEUED;
		*ret_running += run->state == RUN_RUNNING;
	}
}

static void on_turn(void *data)
{
	struct runs *runs = data;
	unsigned int queued;
	unsigned int running;

	while (!runs->stopping) {
		struct run *run = turns_next(runs);

		runs_count(runs, &queued, &running);
		if (!run || running >= runs->c.parallel || !run_start(run))
			return;
	}
}

void runs_kick(struct runs *runs)
{
	loop_timer_set(runs->turn, 0);
}

/* --- look --- */

struct run *runs_find(struct runs *runs, const char *id)
{
	for (struct run *run = runs->first; run; run = run->next)
		if (streq(run->id, id))
			return run;
	return NULL;
}

struct run *runs_next(struct runs *runs, const struct run *after)
{
	return after ? after->next : runs->first;
}

const char *run_id(const struct run *run)
{
	return run->id;
}

bool run_has_ended(const struct run *run)
{
	return run->phase == RUN_PHASE_ENDED;
}

bool run_outlives_client(const struct run *run)
{
	return !run->spec.on_disconnect || !streq(run->spec.on_disconnect, "cancel");
}

int runs_get(struct runs *runs, const char *id, json_t **ret_run, struct error *err)
{
	struct run *run = runs_find(runs, id);
	autofree char *document = NULL;
	int r;

	if (run) {
		*ret_run = run_to_json(run);
		return 0;
	}
	r = runs_read(runs->c.store, id, &document, err);
	if (r < 0)
		return r;
	*ret_run = json_loads(document, 0, NULL);
	return *ret_run ? 0 : error_set(err, ERR_INTERNAL, "the row of run %s is broken", id);
}

struct walk {
	struct runs *runs;
	runs_each_fn *fn;
	void *data;
	bool stopped;
};

static int on_row(const char *document, void *data, struct error *err)
{
	struct walk *w = data;
	json_auto_t *stored = json_loads(document, 0, NULL);
	const char *id = json_string_value(json_object_get(stored, "id"));
	struct run *run = id ? runs_find(w->runs, id) : NULL;
	json_auto_t *live = run ? run_to_json(run) : NULL;

	if (stored && !w->fn(live ? live : stored, w->data)) {
		w->stopped = true;
		return error_set(err, ERR_CANCELLED, "enough");
	}
	return 0;
}

int runs_each(struct runs *runs, const char *before, runs_each_fn *fn, void *data,
	      struct error *err)
{
	struct walk w = { .runs = runs, .fn = fn, .data = data };
	int r = runs_rows(runs->c.store, before, on_row, &w, err);

	return w.stopped ? 0 : r;
}

int runs_open_log(struct runs *runs, const char *id, int *ret_fd, struct error *err)
{
	char name[ID_LEN + 8];

	(void)snprintf(name, sizeof(name), "%.*s/log", ID_LEN, id);
	*ret_fd = open_regular_beneath(runs->dir_fd, name, O_RDONLY, 0);
	if (*ret_fd == -ENOENT)
		return error_set(err, ERR_NOT_FOUND, "no run '%s'", id);
	return *ret_fd < 0 ? error_errno(err, *ret_fd, "log of run %s", id) : 0;
}

/* --- start and end --- */

/* The last server had it under way. */
static int fail_interrupted(const char *document, void *data, struct error *err)
{
	struct runs *runs = data;
	json_auto_t *o = json_loads(document, 0, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	struct error why = ERROR_INIT;
	autofree char *text = NULL;
	char when[32];

	if (!state || (!streq(state, "queued") && !streq(state, "running")))
		return 0;
	/* What its command needs (environment, files) is never stored. */
	(void)error_set(
		&why, ERR_UNAVAILABLE,
		streq(state, "queued")
			? "the server ended while the run waited for its turn; nothing of it "
			  "has been done, so it can be asked for again"
			: "the server ended while the run was under way");
	(void)json_object_set_new(o, "state", json_string("failed"));
	(void)json_object_set_new(o, "phase", json_string("ended"));
	(void)json_object_del(o, "position");
	(void)json_object_set_new(o, "ended", json_string(clock_format_ms(clock_wall_ms(), when)));
	(void)json_object_set_new(o, "error", runs->c.problem(&why));
	run_log_amend(
		runs, json_string_value(json_object_get(o, "id")),
		json_pack("{s:s, s:O}", "type", "error", "problem", json_object_get(o, "error")));
	text = json_text(o);
	if (!text)
		return error_errno(err, -ENOMEM, "runs");
	return runs_put(runs->c.store, json_string_value(json_object_get(o, "id")), "failed",
			clock_wall_ms(), text, err);
}

/* VMs of runs that have ended, unless they were to be kept. */
static void delete_orphans(struct runs *runs)
{
	for (struct vm *vm = vms_next(runs->c.vms, NULL); vm; vm = vms_next(runs->c.vms, vm)) {
		json_auto_t *labels = json_loads(vm_row(vm)->labels, 0, NULL);
		const char *id = json_string_value(json_object_get(labels, "banger.run"));
		json_auto_t *run = NULL;
		struct error err = ERROR_INIT;
		struct op *op;

		if (!id || (runs_get(runs, id, &run, &err) == 0 &&
			    json_is_true(json_object_get(run, "kept"))))
			continue;
		if (vm_delete(vm, "server", &op, &err) < 0)
			log_warn("VM of run %s not deleted: %s", id, err.msg);
	}
}

int runs_new(const struct runs_config *config, struct runs **ret_runs, struct error *err)
{
	struct runs *runs = calloc(1, sizeof(*runs));
	autofree char *path = path_join(config->state_dir, "runs");
	int r = 0;

	if (!runs || !path) {
		free(runs);
		return error_errno(err, -ENOMEM, "runs");
	}
	runs->c = *config;
	runs->dir_fd = open_dir_create(path, 0700);
	if (runs->dir_fd < 0)
		r = error_errno(err, runs->dir_fd, "folder of runs");
	if (r == 0 && loop_timer_new(config->loop, on_turn, runs, &runs->turn) < 0)
		r = error_errno(err, -ENOMEM, "runs");
	if (r == 0)
		r = runs_rows(config->store, "", fail_interrupted, runs, err);
	if (r < 0) {
		runs_free(runs);
		return r;
	}
	delete_orphans(runs);
	*ret_runs = runs;
	return 0;
}

void runs_stop(struct runs *runs)
{
	runs->stopping = true;
	for (struct run *run = runs->first; run; run = run->next) {
		run_let_go(run);
		loop_timer_clear(run->later);
	}
}

void runs_free(struct runs *runs)
{
	if (!runs)
		return;
	while (runs->first) {
		struct run *run = runs->first;

		runs->first = run->next;
		run_let_go(run);
		run_free(run);
	}
	turns_forget(runs);
	loop_timer_free(runs->turn);
	close_keep_errno(runs->dir_fd);
	free(runs);
}
