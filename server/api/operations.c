/* SPDX-License-Identifier: Apache-2.0 */
/* /operations: what is under way, and what was for the last days. */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/watch.h"
#include "server/http/problem.h"
#include "server/store/journal.h"

json_t *api_operation_json(struct op *op)
{
	json_t *o = op_to_json(op);

	if (op_get_state(op) == OP_FAILED || op_get_state(op) == OP_CANCELLED)
		(void)json_object_set_new(o, "error",
					  problem_to_json(op_error(op), op_id(op), NULL, false));
	return o;
}

/*
 * What is in memory and what the store has, as one list. Operations in memory are not always the
 * newest: one that takes long stays while later ones have ended and left.
 */
struct listing {
	const struct http_request *req;
	struct api *api;
	struct operation_filter filter;
	const char *before; /* ids below this one; "" for all */
	size_t limit;
	json_t *items;
	bool more;
	struct op **live; /* those in memory that are wanted, newest first */
	size_t n_live;
	size_t in_memory;
	size_t next; /* of `live` */
};

static void listing_done(struct listing *l)
{
	free(l->live);
	json_decref(l->items);
}

static bool wanted(const struct listing *l, const struct op *op)
{
	const struct operation_filter *f = &l->filter;

	if (l->before[0] && strcmp(op_id(op), l->before) >= 0)
		return false;
	if (f->kind && !str_has_prefix(op_kind(op), f->kind))
		return false;
	if (f->state && !streq(f->state, op_state_name(op_get_state(op))))
		return false;
	return !f->target || streq(f->target, op_target(op));
}

static void count(struct op *op, void *data)
{
	struct listing *l = data;

	(void)op;
	l->in_memory++;
}

static void take_live(struct op *op, void *data)
{
	struct listing *l = data;

	if (wanted(l, op))
		l->live[l->n_live++] = op;
}

/* Steals `o`. The newest come first: behind one that is too old for `?since=` is nothing wanted. */
static void add(struct listing *l, json_t *o)
{
	if (!api_since_match(l->req, o, "created")) {
		json_decref(o);
	} else if (json_array_size(l->items) == l->limit) {
		l->more = true;
		json_decref(o);
	} else {
		(void)json_array_append_new(l->items, o);
	}
}

/* Those that are newer than the id. */
static void add_live(struct listing *l, const char *id)
{
	while (!l->more && l->next < l->n_live && strcmp(op_id(l->live[l->next]), id) > 0)
		add(l, api_operation_json(l->live[l->next++]));
}

static int add_stored(int64_t seq, const char *document, void *data, struct error *err)
{
	struct listing *l = data;
	json_t *o = json_loads(document, 0, NULL);
	const char *id = json_string_value(json_object_get(o, "id"));
	const char *state = json_string_value(json_object_get(o, "state"));

	(void)seq;
	if (id && state) {
		add_live(l, id);
		/* What has not ended is in memory, and more is known of it there. */
		if (!streq(state, op_state_name(OP_QUEUED)) &&
		    !(l->next < l->n_live && streq(op_id(l->live[l->next]), id)))
			add(l, json_incref(o));
	}
	json_decref(o);
	return l->more ? error_set(err, ERR_CANCELLED, "the page is full") : 0;
}

/* --- the list as a stream --- */

struct viewing {
	struct listing listing;
	api_watch_fn *fn;
	void *data;
};

static struct listing watched(const struct http_request *req, struct api *api)
{
	return (struct listing){ .req = req,
				 .filter = { .kind = http_query(req, "kind"),
					     .target = api_query_target(req, api),
					     .state = http_query(req, "state") },
				 .before = "" };
}

static json_t *view_of(const struct listing *l, struct op *op)
{
	json_t *view = op && wanted(l, op) ? api_operation_json(op) : NULL;

	if (!view || api_since_match(l->req, view, "created"))
		return view;
	json_decref(view);
	return NULL;
}

static json_t *find_view(const struct http_request *req, struct api *api, const char *id)
{
	struct listing l = watched(req, api);

	return view_of(&l, ops_find(api->ops, id));
}

static void view_one(struct op *op, void *data)
{
	struct viewing *v = data;
	json_t *view = view_of(&v->listing, op);

	if (view)
		v->fn(view, v->data);
}

/* Those in memory: under way, or ended a short while ago. */
static void each_view(const struct http_request *req, struct api *api, api_watch_fn *fn, void *data)
{
	struct viewing v = { .listing = watched(req, api), .fn = fn, .data = data };

	ops_each(api->ops, view_one, &v);
}

static const struct api_watch_kind watch_kind = {
	.prefix = "operation.", .by_operation = true, .find = find_view, .each = each_view
};

/* --- the list in pages --- */

static void reply_page(struct http_request *req, struct api *api)
{
	const char *cursor = http_query(req, "cursor");
	struct listing l CLEANUP(listing_done) = {
		.req = req,
		.api = api,
		.filter = { .kind = http_query(req, "kind"),
			    .target = api_query_target(req, api),
			    .state = http_query(req, "state") },
		.before = cursor ? cursor : "",
		.limit = (size_t)api_query_number(req, "limit", 100),
		.items = json_array(),
	};
	const json_t *last;
	struct error err;

	ops_each(l.api->ops, count, &l);
	l.live = calloc(l.in_memory + 1, sizeof(struct op *));
	if (!l.live) {
		(void)error_errno(&err, -ENOMEM, "operations");
		http_reply_error(req, &err, NULL);
		return;
	}
	ops_each(l.api->ops, take_live, &l);
	/* Each row but those that have not ended fills a place; one more tells of another page. */
	if (operations_each(l.api->store, l.before, &l.filter, (int)(l.limit + l.in_memory + 1),
			    add_stored, &l, &err) < 0 &&
	    !l.more) {
		http_reply_error(req, &err, NULL);
		return;
	}
	add_live(&l, "");
	last = json_array_get(l.items, l.limit - 1);
	api_reply_page(req, json_incref(l.items),
		       l.more ? json_string_value(json_object_get(last, "id")) : NULL);
}

void api_operation_list(struct http_request *req, void *context)
{
	if (!api_watch(req, context, &watch_kind))
		reply_page(req, context);
}

static void reply_stored(struct http_request *req, struct api *api, const char *id)
{
	autofree char *document = NULL;
	struct error err;

	if (operations_get(api->store, id, &document, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 200, json_loads(document, 0, NULL));
}

/* --- one, with waiting --- */

struct looker {
	struct http_request *req;
	struct op *op;
	void *watch;
	struct loop_timer *timer;
};

static void looker_free(struct looker *w)
{
	if (w->watch)
		op_unwatch(w->op, w->watch);
	loop_timer_free(w->timer);
	op_unref(w->op);
	free(w);
}

static void look(void *data)
{
	struct looker *w = data;

	http_on_gone(w->req, NULL, NULL);
	http_reply_json(w->req, 200, api_operation_json(w->op));
	looker_free(w);
}

static void on_ended(struct op *op, void *data)
{
	struct looker *w = data;

	(void)op;
	w->watch = NULL;
	look(w);
}

static void on_gone(void *data)
{
	looker_free(data);
}

void api_operation_get(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_param(req, "operation");
	struct op *op = ops_find(api->ops, id);
	int wait_s = http_prefer_wait(req);
	struct looker *w;

	if (!op) {
		reply_stored(req, api, id);
		return;
	}
	if (wait_s == 0 || op_ended(op)) {
		http_reply_json(req, 200, api_operation_json(op));
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w || loop_timer_new(api->loop, look, w, &w->timer) < 0) {
		free(w);
		http_reply_json(req, 200, api_operation_json(op));
		return;
	}
	w->req = req;
	w->op = op_ref(op);
	loop_timer_set(w->timer, (int64_t)wait_s * 1000000);
	http_on_gone(req, on_gone, w);
	w->watch = op_watch(op, on_ended, w);
	if (!w->watch)
		look(w);
}

static void refuse_ended(struct http_request *req, const char *id, const char *state)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_STATE, "operation %s has ended already: it has %s", id,
			streq(state, "cancelled") ? "been cancelled" : state);
	http_reply_error(req, &err, NULL);
}

static void refuse_stored(struct http_request *req, struct api *api, const char *id)
{
	autofree char *document = NULL;
	json_auto_t *stored = NULL;
	const char *state;
	struct error err;

	if (operations_get(api->store, id, &document, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	stored = json_loads(document, 0, NULL);
	state = json_string_value(json_object_get(stored, "state"));
	refuse_ended(req, id, state ? state : "ended");
}

void api_operation_cancel(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_param(req, "operation");
	struct op *op = ops_find(api->ops, id);

	if (!op) {
		refuse_stored(req, api, id);
		return;
	}
	if (op_ended(op)) {
		refuse_ended(req, id, op_state_name(op_get_state(op)));
		return;
	}
	op_cancel(op);
	http_reply_json(req, 202, api_operation_json(op));
}
