/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as events and as rows of the store, so that they outlive the server. */
#include "server/api/journal.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/http/problem.h"
#include "server/store/journal.h"

/* Looking is no deed: it leaves no trace. */
static bool worth_keeping(const struct op *op)
{
	return !streq(op_kind(op), "doctor") && !streq(op_kind(op), "host");
}

static void keep(struct api *api, const json_t *o)
{
	autofree char *text = json_text(o);
	const char *target = json_string_value(json_object_get(o, "target"));
	struct error err;

	if (!text ||
	    operations_put(api->store, json_string_value(json_object_get(o, "id")),
			   json_string_value(json_object_get(o, "kind")), target ? target : "",
			   json_string_value(json_object_get(o, "state")), clock_wall_ms(), text,
			   &err) < 0)
		log_error("operation not stored: %s", text ? err.msg : "out of memory");
}

/* A server may run for months: what is old goes while the new comes. */
static void expire(struct api *api)
{
	enum { EXPIRE_EVERY = 256 };
	struct error err;

	if (++api->operations_kept % EXPIRE_EVERY == 0 &&
	    operations_expire(api->store, clock_wall_ms(), &err) < 0)
		log_warn("operations: %s", err.msg);
}

static void on_change(struct op *op, void *data)
{
	struct api *api = data;
	json_t *o;

	if (!worth_keeping(op))
		return;
	o = api_operation_json(op);
	/* A stage is news, but only the beginning and the end are worth a write. */
	if (op_ended(op) || op_get_state(op) == OP_QUEUED)
		keep(api, o);
	if (op_ended(op))
		expire(api);
	events_emit(api->events,
		    &(struct event){ .kind = op_ended(op) ? "operation.ended" : "operation.changed",
				     .target = op_target(op),
				     .target_name =
					     json_string_value(json_object_get(o, "target_name")),
				     .by = json_string_value(json_object_get(o, "requested_by")),
				     .operation = op_id(op),
				     .data = json_incref(o) });
	json_decref(o);
}

static int collect(int64_t seq, const char *document, void *data, struct error *err)
{
	(void)seq;
	(void)err;
	(void)json_array_append_new(data, json_loads(document, 0, NULL));
	return 0;
}

/* What the last server had under way did not end by itself; its VM has been reconciled. */
static int end_interrupted(struct api *api, struct error *err)
{
	json_auto_t *list = json_array();
	struct error why = ERROR_INIT;
	char when[32];
	json_t *o;
	size_t i;
	int r = operations_each_interrupted(api->store, collect, list, err);

	if (r < 0)
		return r;
	json_array_foreach (list, i, o) {
		(void)error_set(&why, ERR_UNAVAILABLE, "the server ended while this was under way");
		(void)json_object_set_new(o, "state", json_string("failed"));
		(void)json_object_set_new(o, "ended",
					  json_string(clock_format_ms(clock_wall_ms(), when)));
		(void)json_object_set_new(
			o, "error",
			problem_to_json(&why, json_string_value(json_object_get(o, "id")), NULL,
					false));
		keep(api, o);
	}
	return operations_expire(api->store, clock_wall_ms(), err);
}

int api_journal_start(struct api *api, struct error *err)
{
	int r = end_interrupted(api, err);

	if (r == 0)
		ops_set_listener(api->ops, on_change, api);
	return r;
}
