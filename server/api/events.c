/* SPDX-License-Identifier: Apache-2.0 */
/* /events: server-sent events or NDJSON, from the past and live, without a gap between the two. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/frames.h"
#include "server/store/journal.h"

enum { HEARTBEAT_US = 15 * 1000 * 1000, PAGE = 500 };

struct subscriber {
	struct api *api;
	struct http_stream *stream;
	struct events_listener *listener;
	struct loop_timer *heartbeat;
	int64_t sent; /* number of the last event sent or passed over */
	bool ndjson;
	bool follow;
	bool behind; /* there is more in the store than has been sent */
	char kind[65];
	char target[256];
	char by[128];
	struct event_filter filter; /* of these three */
};

static void subscriber_free(struct subscriber *s)
{
	events_unlisten(s->listener);
	loop_timer_free(s->heartbeat);
	free(s);
}

static bool wanted(const struct event_filter *f, const struct event *event)
{
	if (f->kind && !str_has_prefix(event->kind, f->kind))
		return false;
	if (f->target && (!event->target || !streq(event->target, f->target)))
		return false;
	return !f->who || streq(event->by ? event->by : "server", f->who);
}

/* 0, or -ENOBUFS: the client has to read first. */
static int send_one(struct subscriber *s, int64_t seq, const char *document)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	int r = 0;

	buf_init(&b, 1 << 20);
	r = s->ndjson ? buf_printf(&b, "%s\n", document)
		      : buf_printf(&b, "id: %lld\ndata: %s\n\n", (long long)seq, document);
	if (r == 0)
		r = http_stream_write(s->stream, buf_bytes(&b), buf_len(&b));
	if (r == 0)
		s->sent = seq;
	return r;
}

static int send_stored(int64_t seq, const char *document, void *data, struct error *err)
{
	struct subscriber *s = data;

	if (send_one(s, seq, document) < 0)
		return error_set(err, ERR_BUSY, "the client reads slowly");
	return 0;
}

/* Sends from the store until it is level with it or the client's buffer is full. */
static void catch_up(struct subscriber *s)
{
	struct error err;
	int64_t before;

	do {
		before = s->sent;
		if (events_each(s->api->store, s->sent, &s->filter, PAGE, send_stored, s, &err) <
		    0) {
			s->behind = true;
			return;
		}
	} while (s->sent > before);
	s->behind = false;
	if (!s->follow) {
		http_stream_end(s->stream);
		subscriber_free(s);
	}
}

/*
 * Somebody who was away for long must know that what it remembers is not all there was; and so must
 * one that has seen events of another database, which this one has not come to yet.
 */
static void tell_lost(struct subscriber *s)
{
	char document[256];
	char when[32];
	struct error err;
	int64_t last = events_last(s->api->events);
	int64_t oldest = 0;
	int64_t from;

	if (s->sent == 0 || events_oldest(s->api->store, &oldest, &err) < 0 ||
	    (s->sent >= oldest - 1 && s->sent <= last))
		return;
	/* All that is kept follows: requests may be older than the oldest of the rest. */
	from = s->sent > last ? 0 : s->sent;
	(void)snprintf(document, sizeof(document),
		       "{\"id\":%lld,\"time\":\"%s\",\"kind\":\"events.lost\",\"by\":\"server\","
		       "\"data\":{\"since\":%lld}}",
		       (long long)from, clock_format_ms(clock_wall_ms(), when), (long long)s->sent);
	(void)send_one(s, from, document);
}

static void on_event(void *data, int64_t seq, const struct event *event, const char *document)
{
	struct subscriber *s = data;

	if (!s->behind && wanted(&s->filter, event) && send_one(s, seq, document) < 0)
		s->behind = true;
}

static void on_heartbeat(void *data)
{
	struct subscriber *s = data;

	(void)http_stream_write(s->stream, s->ndjson ? "\n" : ": still here\n\n",
				s->ndjson ? 1 : 14);
	loop_timer_set(s->heartbeat, HEARTBEAT_US);
}

static void on_drained(void *data)
{
	struct subscriber *s = data;

	if (s->behind)
		catch_up(s);
}

static void on_ending(void *data)
{
	struct subscriber *s = data;
	struct http_stream *stream = s->stream;
	json_auto_t *frame = api_end_frame();
	autofree char *text = json_text(frame);
	struct buf b CLEANUP(buf_done) = { 0 };

	buf_init(&b, 1024);
	if (text && buf_printf(&b, s->ndjson ? "%s\n" : "event: end\ndata: %s\n\n", text) == 0)
		(void)http_stream_write(stream, buf_bytes(&b), buf_len(&b));
	subscriber_free(s);
	http_stream_end(stream);
}

static void on_gone(void *data)
{
	subscriber_free(data);
}

/* Points to the copy; NULL where there is no text. */
static const char *copy_of(const char *text, char *copy, size_t size)
{
	if (!text)
		return NULL;
	(void)snprintf(copy, size, "%s", text);
	return copy;
}

static int64_t start_after(const struct http_request *req, const struct api *api, bool follow)
{
	const char *last = http_header(req, "Last-Event-ID");

	if (!last)
		last = http_query(req, "since");
	if (last)
		return strtoll(last, NULL, 10);
	return follow ? events_last(api->events) : 0;
}

void api_event_stream(struct http_request *req, void *context)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.ending = on_ending,
								.gone = on_gone };
	struct api *api = context;
	struct subscriber *s = calloc(1, sizeof(*s));
	struct error err;

	if (!s || loop_timer_new(api->loop, on_heartbeat, s, &s->heartbeat) < 0) {
		free(s);
		(void)error_set(&err, ERR_NO_ROOM, "no memory for another listener");
		http_reply_error(req, &err, NULL);
		return;
	}
	s->api = api;
	s->ndjson = http_accepts(req, "application/x-ndjson");
	s->follow = api_query_bool(req, "follow", true);
	s->sent = start_after(req, api, s->follow);
	s->filter.kind = copy_of(http_query(req, "kind"), s->kind, sizeof(s->kind));
	s->filter.target = copy_of(api_query_target(req, api), s->target, sizeof(s->target));
	s->filter.who = copy_of(http_query(req, "by"), s->by, sizeof(s->by));
	s->listener = events_listen(api->events, on_event, s);
	http_reply_header(req, "Cache-Control", "no-store");
	s->stream = http_stream_begin(
		req, 200, s->ndjson ? "application/x-ndjson" : "text/event-stream", &callbacks, s);
	if (!s->stream || !s->listener) {
		if (s->stream)
			http_stream_abort(s->stream);
		subscriber_free(s);
		return;
	}
	/* Something at once, so that a client knows that it is connected. */
	(void)http_stream_write(s->stream, s->ndjson ? "\n" : ": connected\n\n",
				s->ndjson ? 1 : 13);
	loop_timer_set(s->heartbeat, HEARTBEAT_US);
	tell_lost(s);
	catch_up(s);
}
