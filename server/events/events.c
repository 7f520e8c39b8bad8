/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/events.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/store/journal.h"

enum { BOUND_EVERY = 256 };

struct events_listener {
	struct events *events;
	struct events_listener *next;
	events_fn *fn; /* NULL: removed during a walk */
	void *data;
};

struct events {
	struct store *store;
	struct events_listener *first;
	int64_t last;
	bool walking;
};

static int note_last(int64_t seq, const char *document, void *data, struct error *err)
{
	struct events *events = data;

	(void)document;
	(void)err;
	events->last = seq;
	return 0;
}

int events_new(struct store *store, struct events **ret_events)
{
	struct events *events = calloc(1, sizeof(*events));
	struct error err;

	if (!events)
		return -ENOMEM;
	events->store = store;
	if (events_each_latest(store, 1, note_last, events, &err) < 0) {
		free(events);
		return error_to_errno(&err);
	}
	*ret_events = events;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	while (events->first) {
		struct events_listener *l = events->first;

		events->first = l->next;
		free(l);
	}
	free(events);
}

int64_t events_last(const struct events *events)
{
	return events->last;
}

struct events_listener *events_listen(struct events *events, events_fn *fn, void *data)
{
	struct events_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct events_listener){
		.events = events, .next = events->first, .fn = fn, .data = data
	};
	events->first = l;
	return l;
}

static void sweep(struct events *events)
{
	for (struct events_listener **l = &events->first; *l;) {
		struct events_listener *dead = *l;

		if (dead->fn) {
			l = &dead->next;
			continue;
		}
		*l = dead->next;
		free(dead);
	}
}

void events_unlisten(struct events_listener *listener)
{
	if (!listener)
		return;
	listener->fn = NULL;
	if (!listener->events->walking)
		sweep(listener->events);
}

static void broadcast(struct events *events, const struct event *event, const char *document)
{
	events->walking = true;
	for (struct events_listener *l = events->first; l; l = l->next)
		if (l->fn)
			l->fn(l->data, events->last, event, document);
	events->walking = false;
	sweep(events);
}

static void set_text(json_t *o, const char *name, const char *text)
{
	if (text && text[0])
		(void)json_object_set_new(o, name, json_string(text));
}

void events_emit(struct events *events, const struct event *event)
{
	json_auto_t *o = json_object();
	autofree char *text = NULL;
	int64_t now = clock_wall_ms();
	int64_t seq = events->last + 1;
	struct error err;
	char when[32];

	(void)json_object_set_new(o, "id", json_integer(seq));
	set_text(o, "time", clock_format_ms(now, when));
	set_text(o, "kind", event->kind);
	set_text(o, "target", event->target);
	set_text(o, "target_name", event->target_name);
	set_text(o, "by", event->by ? event->by : "server");
	set_text(o, "operation", event->operation);
	(void)json_object_set_new(o, "data", event->data ? event->data : json_object());
	text = json_text(o);
	if (!text) {
		log_error("event %s: out of memory", event->kind);
		return;
	}
	if (events_insert(events->store, seq, now, event->kind, event->target ? event->target : "",
			  event->by ? event->by : "server", text, &err) < 0)
		log_error("event %s: %s", event->kind, err.msg);
	events->last = seq;
	if (seq % BOUND_EVERY == 0 && events_bound(events->store, &err) < 0)
		log_warn("events: %s", err.msg);
	broadcast(events, event, text);
}
