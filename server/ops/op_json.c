/* SPDX-License-Identifier: Apache-2.0 */
/* An operation as the API shows it. */
#include "lib/base/clock.h"
#include "server/ops/op_internal.h"

static json_t *stages_to_json(const struct op *op)
{
	json_t *list = json_array();

	for (size_t i = 0; i < op->n_stages; i++) {
		const struct op_stage *s = &op->stages[i];
		json_t *o = json_pack("{s:s, s:f}", "name", s->name, "start_ms",
				      (double)s->start_us / 1000.0);

		if (s->end_us)
			(void)json_object_set_new(
				o, "duration_ms",
				json_real((double)(s->end_us - s->start_us) / 1000.0));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static json_t *parts_to_json(const struct op *op)
{
	json_t *list = json_array();

	for (size_t i = 0; i < op->n_parts; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:I, s:I}", "name", op->parts[i].name,
						      "done", (json_int_t)op->parts[i].done,
						      "total", (json_int_t)op->parts[i].total));
	return list;
}

static void set_time(json_t *o, const char *name, int64_t wall_ms)
{
	char when[32];

	if (wall_ms)
		(void)json_object_set_new(o, name, json_string(clock_format_ms(wall_ms, when)));
}

static void set_text(json_t *o, const char *name, const char *text)
{
	if (text && text[0])
		(void)json_object_set_new(o, name, json_string(text));
}

static void set_run_locked(json_t *o, const struct op *op)
{
	int64_t now = op->end_us ? op->end_us : clock_mono_us();

	(void)json_object_set_new(o, "stages", stages_to_json(op));
	if (op->start_us)
		(void)json_object_set_new(o, "duration_ms",
					  json_real((double)(now - op->start_us) / 1000.0));
	if (op->unit[0]) {
		json_t *progress = json_pack("{s:I, s:s}", "done", (json_int_t)op->done_units,
					     "unit", op->unit);

		if (op->total_units)
			(void)json_object_set_new(progress, "total",
						  json_integer((json_int_t)op->total_units));
		if (op->n_parts > 0)
			(void)json_object_set_new(progress, "parts", parts_to_json(op));
		(void)json_object_set_new(o, "progress", progress);
	}
	if (op->result)
		(void)json_object_set(o, "result", op->result);
}

json_t *op_to_json(struct op *op)
{
	json_t *o = json_object();

	set_text(o, "id", op->id.s);
	set_text(o, "kind", op->kind);
	set_text(o, "target", op->target);
	set_text(o, "target_name", op->target_name);
	set_text(o, "state", op_state_name(op->state));
	set_text(o, "requested_by", op->request_by);
	set_time(o, "created", op->created_ms);
	set_time(o, "ended", op->ended_ms);
	pthread_mutex_lock(&op->lock);
	set_run_locked(o, op);
	pthread_mutex_unlock(&op->lock);
	return o;
}
