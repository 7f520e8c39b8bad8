/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One verb on several VMs: POST /vms/actions and POST /vms/prune. Targets are looked up at once,
 * their operations run side by side, and the answer tells of each in the order given; one that
 * can't does not stop the others. What was begun is noted, so that a repetition of the request
 * whose client has left, or whose server, waits for the same operations.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/http/problem.h"
#include "server/store/journal.h"
#include "server/vm/recover.h"
#include "server/vm/snapshot.h"

enum { TARGETS_MAX = 1000 };

typedef int verb_fn(struct vm *vm, const char *who, struct op **ret_op, struct error *err);

static const struct {
	const char *name;
	verb_fn *verb;
} actions[] = {
	{ "start", vm_start },   { "stop", vm_stop },       { "restart", vm_restart },
	{ "kill", vm_kill },     { "pause", vm_pause },     { "resume", vm_resume },
	{ "delete", vm_delete }, { "recover", vm_recover }, { "suspend", vm_suspend },
};

struct target {
	struct batch *batch;
	char ref[64]; /* as given */
	char id[ID_LEN + 1];
	struct op *op;
	void *watch;
	struct error err; /* of the look-up or the refusal */
	json_t *told;     /* the result of an earlier try, which ended without this one */
};

struct batch {
	struct http_request *req;
	struct api *api;
	struct loop_timer *timer;
	bool cancel; /* the operations, when the client leaves */
	int signo;   /* of a kill; 0: the usual one */
	size_t pending;
	size_t n;
	struct target targets[];
};

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->targets[i].watch)
			op_unwatch(b->targets[i].op, b->targets[i].watch);
		op_unref(b->targets[i].op);
		json_decref(b->targets[i].told);
	}
	loop_timer_free(b->timer);
	free(b);
}

static json_t *result_of(const struct target *t)
{
	const struct error *err = t->op ? op_error(t->op) : &t->err;
	json_t *o;

	if (t->told)
		return json_incref(t->told);
	o = json_pack("{s:s}", "vm", t->ref);
	if (t->id[0])
		(void)json_object_set_new(o, "id", json_string(t->id));
	if (t->op)
		(void)json_object_set_new(o, "operation", json_string(op_id(t->op)));
	(void)json_object_set_new(
		o, "state", json_string(t->op ? op_state_name(op_get_state(t->op)) : "failed"));
	if (err->code != ERR_NONE)
		(void)json_object_set_new(
			o, "error", problem_to_json(err, t->op ? op_id(t->op) : NULL, NULL, false));
	return o;
}

static json_t *results_of(const struct batch *b)
{
	json_t *results = json_array();

	for (size_t i = 0; i < b->n; i++)
		(void)json_array_append_new(results, result_of(&b->targets[i]));
	return results;
}

static void reply(struct batch *b)
{
	http_on_gone(b->req, NULL, NULL);
	http_reply_json(b->req, 200, json_pack("{s:o}", "results", results_of(b)));
	batch_free(b);
}

static void on_time_over(void *data)
{
	reply(data);
}

/* The operations go on, unless it was asked that they do not. */
static void on_gone(void *data)
{
	struct batch *b = data;

	for (size_t i = 0; b->cancel && i < b->n; i++)
		if (b->targets[i].op)
			op_cancel(b->targets[i].op);
	batch_free(b);
}

static void on_ended(struct op *op, void *data)
{
	struct target *t = data;

	(void)op;
	t->watch = NULL;
	if (--t->batch->pending == 0)
		reply(t->batch);
}

/* A VM that is named twice, by name and by id perhaps, has one operation, told in both places. */
static bool joins(struct target *t)
{
	for (const struct target *o = t->batch->targets; o < t; o++) {
		if (!streq(o->id, t->id))
			continue;
		t->op = o->op ? op_ref(o->op) : NULL;
		t->err = o->err;
		return true;
	}
	return false;
}

static void begin(struct target *t, struct api *api, verb_fn *verb, const char *who)
{
	int signo = t->batch->signo;
	struct vm *vm = NULL;
	struct op *op = NULL;
	int r;

	if (vms_get(api->vms, t->ref, &vm, &t->err) < 0)
		return;
	(void)snprintf(t->id, sizeof(t->id), "%s", vm_row(vm)->id);
	if (joins(t))
		return;
	r = signo ? vm_kill_by(vm, signo, who, &op, &t->err) : verb(vm, who, &op, &t->err);
	if (r == 0)
		t->op = op_ref(op);
}

/* What became of an operation that is not in memory any more. */
static json_t *stored_result(struct api *api, const json_t *result, const char *operation)
{
	static const char *const fields[] = { "state", "error" };
	json_t *o = json_copy((json_t *)(uintptr_t)result);
	autofree char *document = NULL;
	json_auto_t *stored = NULL;
	struct error err = ERROR_INIT;

	if (operations_get(api->store, operation, &document, &err) < 0)
		return o;
	stored = json_loads(document, 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (json_object_get(stored, fields[i]))
			(void)json_object_set(o, fields[i], json_object_get(stored, fields[i]));
	return o;
}

static void take_up(struct target *t, struct api *api, const json_t *result)
{
	const char *ref = json_string_value(json_object_get(result, "vm"));
	const char *id = json_string_value(json_object_get(result, "id"));
	const char *operation = json_string_value(json_object_get(result, "operation"));
	struct op *op = operation ? ops_find(api->ops, operation) : NULL;

	(void)snprintf(t->ref, sizeof(t->ref), "%s", ref ? ref : "");
	(void)snprintf(t->id, sizeof(t->id), "%s", id ? id : "");
	if (op)
		t->op = op_ref(op);
	else if (operation)
		t->told = stored_result(api, result, operation);
	else
		t->told = json_incref((json_t *)(uintptr_t)result);
}

/* `verb` NULL: they are under way. */
static void run(struct batch *b, verb_fn *verb)
{
	int wait_s = http_prefer_wait(b->req);

	for (size_t i = 0; verb && i < b->n; i++)
		begin(&b->targets[i], b->api, verb, http_principal(b->req));
	if (verb)
		http_note(b->req, results_of(b));
	if (wait_s == 0 || loop_timer_new(b->api->loop, on_time_over, b, &b->timer) < 0) {
		reply(b);
		return;
	}
	/* One more than there are, so that none of those that have ended already is the last. */
	b->pending = 1;
	for (size_t i = 0; i < b->n; i++) {
		struct target *t = &b->targets[i];

		if (!t->op || op_ended(t->op))
			continue;
		t->watch = op_watch(t->op, on_ended, t);
		if (t->watch)
			b->pending++;
	}
	if (--b->pending == 0) {
		reply(b);
		return;
	}
	loop_timer_set(b->timer, (int64_t)wait_s * 1000000);
	http_on_gone(b->req, on_gone, b);
}

static struct batch *batch_new(struct http_request *req, struct api *api, size_t n)
{
	struct batch *b = calloc(1, sizeof(*b) + n * sizeof(b->targets[0]));
	struct error err;

	if (!b) {
		(void)error_errno(&err, -ENOMEM, "%zu VMs", n);
		http_reply_error(req, &err, NULL);
		return NULL;
	}
	b->req = req;
	b->api = api;
	b->cancel = http_prefer_cancel(req);
	b->n = n;
	for (size_t i = 0; i < n; i++)
		b->targets[i].batch = b;
	return b;
}

/* True when an earlier try of the request has begun it all. */
static bool went_before(struct http_request *req, struct api *api)
{
	const json_t *noted = http_noted(req);
	struct batch *b = noted ? batch_new(req, api, json_array_size(noted)) : NULL;

	if (!noted || !b)
		return noted != NULL;
	for (size_t i = 0; i < b->n; i++)
		take_up(&b->targets[i], api, json_array_get(noted, i));
	http_mark_replayed(req);
	run(b, NULL);
	return true;
}

struct action_body {
	const char *action;
	const json_t *vms;
	const char *signal;
};

static const struct json_field action_fields[] = {
	{ "action", JSON_FIELD_STRING, offsetof(struct action_body, action), true },
	{ "vms", JSON_FIELD_VALUE, offsetof(struct action_body, vms), true },
	{ "signal", JSON_FIELD_STRING, offsetof(struct action_body, signal), false },
};

void api_vm_action(struct http_request *req, void *context)
{
	struct action_body body = { 0 };
	verb_fn *verb = NULL;
	struct batch *b;
	struct error err;
	int r = json_decode(http_body(req), action_fields, ARRAY_SIZE(action_fields), &body, &err);

	if (went_before(req, context))
		return;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(actions); i++)
		if (streq(actions[i].name, body.action))
			verb = actions[i].verb;
	if (r == 0 && !verb)
		r = error_set(&err, ERR_INVALID, "/action: there is no action '%.32s'",
			      body.action);
	if (r == 0 && body.signal && verb != vm_kill)
		r = error_set(&err, ERR_INVALID, "/signal: it goes with the action kill alone");
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	b = batch_new(req, context, json_array_size(body.vms));
	if (!b)
		return;
	b->signo = body.signal ? api_signal_of(body.signal) : 0;
	for (size_t i = 0; i < b->n; i++)
		(void)snprintf(b->targets[i].ref, sizeof(b->targets[i].ref), "%s",
			       json_string_value(json_array_get(body.vms, i)));
	run(b, verb);
}

/* --- prune --- */

struct prune_body {
	const json_t *states;
	bool dry_run;
};

static const struct json_field prune_fields[] = {
	{ "states", JSON_FIELD_VALUE, offsetof(struct prune_body, states), false },
	{ "dry_run", JSON_FIELD_BOOL, offsetof(struct prune_body, dry_run), false },
};

/* Those that nothing works on: a VM that is about to start is not waste. */
static bool prunable(struct vm *vm, const json_t *states)
{
	const char *state = vm_state_name(vm_get_state(vm));

	if (vm_has_operation(vm))
		return false;
	if (!states)
		return vm_get_state(vm) == VM_CREATED || vm_get_state(vm) == VM_STOPPED ||
		       vm_get_state(vm) == VM_FAILED;
	for (size_t i = 0; i < json_array_size(states); i++)
		if (streq(state, json_string_value(json_array_get(states, i))))
			return true;
	return false;
}

/* What would go. */
static void reply_dry(struct batch *b)
{
	json_t *results = json_array();

	for (size_t i = 0; i < b->n; i++)
		(void)json_array_append_new(results,
					    json_pack("{s:s, s:s, s:s}", "vm", b->targets[i].ref,
						      "id", b->targets[i].id, "state", "queued"));
	http_reply_json(b->req, 200, json_pack("{s:o}", "results", results));
	batch_free(b);
}

void api_vm_prune(struct http_request *req, void *context)
{
	struct api *api = context;
	struct prune_body body = { 0 };
	struct batch *b;
	struct error err;
	size_t n = 0;

	if (went_before(req, context))
		return;
	if (http_body(req) &&
	    json_decode(http_body(req), prune_fields, ARRAY_SIZE(prune_fields), &body, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	b = batch_new(req, api, TARGETS_MAX);
	if (!b)
		return;
	for (struct vm *vm = vms_next(api->vms, NULL); vm && n < TARGETS_MAX;
	     vm = vms_next(api->vms, vm)) {
		if (!prunable(vm, body.states))
			continue;
		(void)snprintf(b->targets[n].ref, sizeof(b->targets[n].ref), "%s",
			       vm_row(vm)->name);
		(void)snprintf(b->targets[n].id, sizeof(b->targets[n].id), "%s", vm_row(vm)->id);
		n++;
	}
	b->n = n;
	if (body.dry_run)
		reply_dry(b);
	else
		run(b, vm_delete);
}
