/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens, told once: a numbered event goes into the store (which is the audit log) and to
 * everybody who listens. All on the loop's thread.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "server/store/store.h"

struct events;
struct events_listener;

/* `store` is borrowed. */
int events_new(struct store *store, struct events **ret_events) MUST_USE;
void events_free(struct events *events);

struct event {
	const char *kind;        /* "vm.state", static */
	const char *target;      /* id; "" for none */
	const char *target_name; /* may be NULL */
	const char *by;          /* who caused it; NULL: the server itself */
	const char *operation;   /* operation id; may be NULL */
	json_t *data;            /* stolen; may be NULL */
};

/* A failure to store is logged; listeners are told all the same, by a number that is not given
 * again. */
void events_emit(struct events *events, const struct event *event);

/* `document` is the event as the API shows it; `seq` its number. The listener may remove itself. */
typedef void events_fn(void *data, int64_t seq, const struct event *event, const char *document);
/* NULL when out of memory. */
struct events_listener *events_listen(struct events *events, events_fn *fn, void *data);
/* NULL is fine. */
void events_unlisten(struct events_listener *listener);

/* Number of the last event; 0 before the first. */
int64_t events_last(const struct events *events);
