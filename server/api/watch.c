/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/frames.h"

enum { HEARTBEAT_US = 15 * 1000 * 1000, HASH_SIZE = 17 };

struct watch {
	struct http_request *req; /* alive as long as the stream */
	struct api *api;
	const struct api_watch_kind *kind;
	struct http_stream *stream;
	struct events_listener *listener;
	struct loop_timer *heartbeat;
	json_t *sent;  /* id: hash of what was sent last */
	json_t *there; /* while all are compared: ids that were seen */
	bool sse;
	bool synced;
	bool behind; /* a frame did not fit: all are to be compared once there is room */
};

static void watch_free(struct watch *w)
{
	events_unlisten(w->listener);
	loop_timer_free(w->heartbeat);
	json_decref(w->sent);
	free(w);
}

/* --- frames --- */

/* Steals `frame`. False where the client has to read first. */
static bool write_frame(struct watch *w, json_t *frame)
{
	json_auto_t *owned = frame;
	autofree char *text = json_text(owned);
	const char *type = json_string_value(json_object_get(owned, "type"));
	autofree char *line = NULL;
	int n;

	if (!text || !type)
		return false;
	n = w->sse ? asprintf(&line, "event: %s\ndata: %s\n\n", type, text)
		   : asprintf(&line, "%s\n", text);
	if (n < 0)
		line = NULL;
	if (line && http_stream_write(w->stream, line, (size_t)n) == 0)
		return true;
	w->behind = true;
	return false;
}

static void hash_of(const char *text, char hash[HASH_SIZE])
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	(void)snprintf(hash, HASH_SIZE, "%016llx", (unsigned long long)h);
}

/* Steals `view`. What the client knows already is not sent again. */
static void tell(struct watch *w, json_t *view)
{
	json_auto_t *owned = view;
	const char *id = json_string_value(json_object_get(owned, "id"));
	const char *before = id ? json_string_value(json_object_get(w->sent, id)) : NULL;
	autofree char *text = json_text(owned);
	char hash[HASH_SIZE];
	json_t *item;

	if (!id || !text)
		return;
	if (w->there)
		(void)json_object_set_new(w->there, id, json_true());
	hash_of(text, hash);
	if (w->behind || (before && streq(before, hash)))
		return;
	item = http_pick_fields(w->req, json_incref(owned));
	if (write_frame(
		    w, json_pack("{s:s, s:o}", "type", before ? "changed" : "added", "item", item)))
		(void)json_object_set_new(w->sent, id, json_string(hash));
}

static void tell_removed(struct watch *w, const char *id)
{
	autofree char *copy = strdup(id);

	if (copy && !w->behind && json_object_get(w->sent, copy) &&
	    write_frame(w, json_pack("{s:s, s:s}", "type", "removed", "id", copy)))
		(void)json_object_del(w->sent, copy);
}

/* --- all of them --- */

static void on_view(json_t *view, void *data)
{
	tell(data, view);
}

static void compare_all(struct watch *w)
{
	json_auto_t *there = json_object();
	const char *id;
	json_t *hash;
	void *next;

	w->behind = false;
	w->there = there;
	w->kind->each(w->req, w->api, on_view, w);
	w->there = NULL;
	json_object_foreach_safe(w->sent, next, id, hash) if (!json_object_get(there, id))
		tell_removed(w, id);
	if (!w->behind && !w->synced)
		w->synced = write_frame(w, json_pack("{s:s}", "type", "synced"));
}

/* --- what happens --- */

static void on_event(void *data, int64_t seq, const struct event *event, const char *document)
{
	struct watch *w = data;
	const char *id = w->kind->by_operation ? event->operation : event->target;
	json_t *view;

	(void)seq;
	(void)document;
	if (w->behind || !id || !str_has_prefix(event->kind, w->kind->prefix))
		return;
	view = w->kind->gone && streq(event->kind, w->kind->gone)
		       ? NULL
		       : w->kind->find(w->req, w->api, id);
	if (view)
		tell(w, view);
	else
		tell_removed(w, id);
}

static void on_heartbeat(void *data)
{
	struct watch *w = data;
	const char *text = w->sse ? ": still here\n\n" : "\n";

	(void)http_stream_write(w->stream, text, strlen(text));
	loop_timer_set(w->heartbeat, HEARTBEAT_US);
}

static void on_drained(void *data)
{
	struct watch *w = data;

	if (w->behind)
		compare_all(w);
}

static void on_ending(void *data)
{
	struct watch *w = data;
	struct http_stream *stream = w->stream;

	(void)write_frame(w, api_end_frame());
	watch_free(w);
	http_stream_end(stream);
}

static void on_gone(void *data)
{
	watch_free(data);
}

static void begin(struct http_request *req, struct api *api, const struct api_watch_kind *kind)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.ending = on_ending,
								.gone = on_gone };
	struct watch *w = calloc(1, sizeof(*w));
	struct error err = ERROR_INIT;

	if (!w || loop_timer_new(api->loop, on_heartbeat, w, &w->heartbeat) < 0) {
		free(w);
		(void)error_set(&err, ERR_NO_ROOM, "no memory for another listener");
		http_reply_error(req, &err, NULL);
		return;
	}
	w->req = req;
	w->api = api;
	w->kind = kind;
	w->sent = json_object();
	w->sse = http_accepts(req, "text/event-stream");
	w->listener = events_listen(api->events, on_event, w);
	w->stream = http_stream_begin(
		req, 200, w->sse ? "text/event-stream" : "application/x-ndjson", &callbacks, w);
	if (!w->stream || !w->listener || !w->sent) {
		struct http_stream *stream = w->stream;

		watch_free(w);
		if (stream)
			http_stream_abort(stream);
		return;
	}
	loop_timer_set(w->heartbeat, HEARTBEAT_US);
	compare_all(w);
}

bool api_watch(struct http_request *req, struct api *api, const struct api_watch_kind *kind)
{
	if (!api_query_bool(req, "watch", false))
		return false;
	begin(req, api, kind);
	return true;
}
