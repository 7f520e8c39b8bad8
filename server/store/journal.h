/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened: operations (kept OPERATIONS_KEPT_MS, and OPERATIONS_KEPT at most) and events (a
 * bounded, append-only table that is the audit log as well: its rows of kind "request", who asked
 * for what and got which answer, are kept longer than the news of what came of it). Both are stored
 * as the JSON documents that the API shows.
 */
#pragma once

#include "server/store/store.h"

enum { EVENTS_KEPT = 20000, REQUESTS_KEPT = 50000, OPERATIONS_KEPT = 100000 };
#define OPERATIONS_KEPT_MS ((int64_t)7 * 24 * 3600 * 1000)

int operations_put(struct store *store, const char *id, const char *kind, const char *target,
		   const char *state, int64_t created_ms, const char *document,
		   struct error *err) MUST_USE;
/* The caller frees *ret_document. ERR_NOT_FOUND when there is none. */
int operations_get(struct store *store, const char *id, char **ret_document,
		   struct error *err) MUST_USE;
/* Drops what is older than OPERATIONS_KEPT_MS or beyond OPERATIONS_KEPT. */
int operations_expire(struct store *store, int64_t now_ms, struct error *err) MUST_USE;

typedef int journal_each_fn(int64_t seq, const char *document, void *data, struct error *err);
struct operation_filter { /* NULL: any */
	const char *kind; /* how it begins */
	const char *target;
	const char *state;
};
/* Newest first, ids below `before` ("" : from the newest). seq is 0. */
int operations_each(struct store *store, const char *before, const struct operation_filter *filter,
		    int limit, journal_each_fn *fn, void *data, struct error *err) MUST_USE;
/* Those that a crash of the server has interrupted. */
int operations_each_interrupted(struct store *store, journal_each_fn *fn, void *data,
				struct error *err) MUST_USE;

/* `seq` is the event's number, growing without end. */
int events_insert(struct store *store, int64_t seq, int64_t at_ms, const char *kind,
		  const char *target, const char *who, const char *document,
		  struct error *err) MUST_USE;
struct event_filter {     /* NULL: any */
	const char *kind; /* how it begins */
	const char *target;
	const char *who;
};
/* Oldest first, numbers above `after`. */
int events_each(struct store *store, int64_t after, const struct event_filter *filter, int limit,
		journal_each_fn *fn, void *data, struct error *err) MUST_USE;
/* Number of the oldest event that is still there, requests aside; 0: there is none. */
int events_oldest(struct store *store, int64_t *ret_seq, struct error *err) MUST_USE;
/* The target of the newest event of a kind whose target had the name: ERR_NOT_FOUND without one. */
int events_last_named(struct store *store, const char *kind, const char *name, char *ret_target,
		      size_t size, struct error *err) MUST_USE;
/* Newest first. */
int events_each_latest(struct store *store, int limit, journal_each_fn *fn, void *data,
		       struct error *err) MUST_USE;
/* Keeps the last EVENTS_KEPT and REQUESTS_KEPT. */
int events_bound(struct store *store, struct error *err) MUST_USE;
