/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /runs: one CI job each. The reply to a new run comes in the form that the client accepts: its
 * view at once or when it has ended, its log as NDJSON, or its output as it is. The last two can be
 * had again, from any place on, while the run is remembered.
 */
#include "server/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "server/api/runs.h"
#include "server/api/watch.h"

/* --- views, and waiting for the end --- */

struct run_wait {
	struct http_request *req;
	struct api *api;
	struct run_watcher *watcher;
	struct loop_timer *timer;
	char id[ID_LEN + 1];
	bool created; /* the reply is to the request that made it */
};

static void wait_free(struct run_wait *w)
{
	run_unwatch(w->watcher);
	loop_timer_free(w->timer);
	free(w);
}

static void reply_view(struct http_request *req, json_t *view, bool created)
{
	bool ended = json_object_get(view, "ended") != NULL;
	char location[64];

	if (created) {
		(void)snprintf(location, sizeof(location), "/runs/%s",
			       json_string_value(json_object_get(view, "id")));
		http_reply_header(req, "Location", location);
	}
	http_reply_json(req, !created ? 200 : (ended ? 201 : 202), view);
}

static void reply_run(struct http_request *req, struct api *api, const char *id, bool created)
{
	struct error err = ERROR_INIT;
	json_t *view = NULL;

	if (runs_get(api->runs, id, &view, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		reply_view(req, view, created);
}

static void on_wait_over(void *data)
{
	struct run_wait *w = data;

	http_on_gone(w->req, NULL, NULL);
	reply_run(w->req, w->api, w->id, w->created);
	wait_free(w);
}

static void on_change(struct run *run, void *data)
{
	struct run_wait *w = data;

	if (!run_has_ended(run))
		return;
	w->watcher = NULL;
	on_wait_over(w);
}

static void on_waiter_gone(void *data)
{
	wait_free(data);
}

static void reply_when_ended(struct http_request *req, struct api *api, struct run *run,
			     bool created)
{
	int wait_s = http_prefer_wait(req);
	struct run_wait *w = wait_s > 0 ? calloc(1, sizeof(*w)) : NULL;

	if (!w || loop_timer_new(api->loop, on_wait_over, w, &w->timer) < 0) {
		free(w);
		reply_run(req, api, run_id(run), created);
		return;
	}
	w->req = req;
	w->api = api;
	w->created = created;
	(void)snprintf(w->id, sizeof(w->id), "%s", run_id(run));
	w->watcher = run_watch(run, on_change, w);
	if (!w->watcher) {
		on_wait_over(w);
		return;
	}
	http_on_gone(req, on_waiter_gone, w);
	loop_timer_set(w->timer, (int64_t)wait_s * 1000000);
}

void api_run_get(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_param(req, "run");
	struct run *run = runs_find(api->runs, id);

	if (run)
		reply_when_ended(req, api, run, false);
	else
		reply_run(req, api, id, false);
}

void api_run_create(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_new_id(req);
	struct run *run = runs_find(api->runs, id);
	json_auto_t *ended = NULL;
	struct error err = ERROR_INIT;
	const char *image;

	/* A repetition of a request whose first try got no reply. */
	if (run)
		http_mark_replayed(req);
	if (!run && runs_get(api->runs, id, &ended, &err) == 0) {
		http_mark_replayed(req);
		if (http_accepts(req, "application/json"))
			reply_run(req, api, id, true);
		else
			api_run_follow(req, api, id, false);
		return;
	}
	image = json_string_value(json_object_get(http_body(req), "image"));
	if (!run && image && api_image_first(req, api, image, api_run_create))
		return;
	if (!run &&
	    run_submit(api->runs, id, http_body(req), http_principal(req), &run, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (http_accepts(req, "application/json"))
		reply_when_ended(req, api, run, true);
	else
		api_run_follow(req, api, id, true);
}

void api_run_cancel(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = http_param(req, "run");
	struct run *run = runs_find(api->runs, id);
	struct error err = ERROR_INIT;
	json_t *view = NULL;

	if (run)
		run_cancel(run, http_principal(req));
	if (runs_get(api->runs, id, &view, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 202, view);
}

/* --- the list --- */

static bool matches(const struct http_request *req, const json_t *view)
{
	const char *state = http_query(req, "state");

	if (state && !streq(state, json_string_value(json_object_get(view, "state"))))
		return false;
	return api_labels_match(req, json_object_get(view, "labels")) &&
	       api_since_match(req, view, "created");
}

struct listing {
	const struct http_request *req;
	json_t *items;
	size_t limit;
	bool more;
};

static bool add(const json_t *view, void *data)
{
	struct listing *l = data;
	if (!matches(l->req, view))
		return true;
	l->more = json_array_size(l->items) == l->limit;
	if (!l->more)
		(void)json_array_append(l->items, (json_t *)(uintptr_t)view);
	return !l->more;
}

static json_t *find_view(const struct http_request *req, struct api *api, const char *id)
{
	json_t *view = NULL;
	struct error err = ERROR_INIT;

	if (runs_get(api->runs, id, &view, &err) < 0)
		return NULL;
	if (matches(req, view))
		return view;
	json_decref(view);
	return NULL;
}

/* Those that have not ended; of the others a page tells. */
static void each_view(const struct http_request *req, struct api *api, api_watch_fn *fn, void *data)
{
	for (struct run *run = runs_next(api->runs, NULL); run; run = runs_next(api->runs, run)) {
		json_t *view = run_to_json(run);

		if (matches(req, view))
			fn(view, data);
		else
			json_decref(view);
	}
}

static const struct api_watch_kind watch_kind = { .prefix = "run.",
						  .find = find_view,
						  .each = each_view };

static void reply_page(struct http_request *req, struct api *api)
{
	const char *cursor = http_query(req, "cursor");
	struct listing l = { .req = req,
			     .items = json_array(),
			     .limit = (size_t)api_query_number(req, "limit", 100) };
	const json_t *last;
	struct error err = ERROR_INIT;

	if (runs_each(api->runs, cursor ? cursor : "", add, &l, &err) < 0) {
		json_decref(l.items);
		http_reply_error(req, &err, NULL);
		return;
	}
	last = json_array_get(l.items, l.limit - 1);
	api_reply_page(req, l.items,
		       l.more ? json_string_value(json_object_get(last, "id")) : NULL);
}

void api_run_list(struct http_request *req, void *context)
{
	if (!api_watch(req, context, &watch_kind))
		reply_page(req, context);
}

/* --- the workspace in, artefacts out --- */

struct sender {
	struct http_request *req;
	struct run *run; /* lives until `end` has been called */
};

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct sender *s = data;

	return run_upload_write(s->run, bytes, len);
}

static void on_upload_end(void *data)
{
	struct sender *s = data;

	run_upload_finish(s->run);
}

static void on_sender_gone(void *data)
{
	struct sender *s = data;

	run_upload_abort(s->run);
	free(s);
}

static void on_writable(void *data)
{
	struct sender *s = data;

	http_upload_resume(s->req);
}

static void on_unpacked(void *data, const struct error *err)
{
	struct sender *s = data;

	http_on_gone(s->req, NULL, NULL);
	if (err->code != ERR_NONE)
		http_reply_error(s->req, err, NULL);
	else
		http_reply_empty(s->req, 204);
	free(s);
}

void api_run_workspace(struct http_request *req, void *context)
{
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_sender_gone };
	static const struct run_upload_callbacks callbacks = { .writable = on_writable,
							       .end = on_unpacked };
	struct api *api = context;
	const char *id = http_param(req, "run");
	struct run *run = runs_find(api->runs, id);
	struct sender *s = calloc(1, sizeof(*s));
	struct error err = ERROR_INIT;
	json_auto_t *ended = NULL;
	int r = s ? 0 : error_set(&err, ERR_NO_ROOM, "no memory for the upload");

	if (r == 0 && !run)
		r = runs_get(api->runs, id, &ended, &err) < 0
			    ? error_to_errno(&err)
			    : error_set(&err, ERR_STATE, "run %s has ended", id);
	if (r == 0) {
		*s = (struct sender){ .req = req, .run = run };
		r = run_upload_begin(run, &callbacks, s, &err);
	}
	if (r < 0) {
		free(s);
		http_reply_error(req, &err, NULL);
		return;
	}
	http_upload_begin(req, &upload, s);
}

void api_run_artifacts(struct http_request *req, void *context)
{
	struct api *api = context;
	struct error err = ERROR_INIT;
	int fd = -1;

	if (runs_open_artifact(api->runs, http_param(req, "run"), http_query(req, "path"), &fd,
			       &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_fd(req, 200, "application/x-tar", fd);
}
