/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/journal.h"

#include <errno.h>
#include <stdlib.h>

#include "server/store/store_internal.h"

int operations_put(struct store *store, const char *id, const char *kind, const char *target,
		   const char *state, int64_t created_ms, const char *document, struct error *err)
{
	int r = store_change(store, STMT_OPERATION_PUT, err, "ttttit", id, kind, target, state,
			     created_ms, document);

	return r < 0 ? r : 0;
}

int operations_get(struct store *store, const char *id, char **ret_document, struct error *err)
{
	sqlite3_stmt *s = store_bind(store, STMT_OPERATION_GET, "t", id);
	char *copy = NULL;
	int r = store_step(store, STMT_OPERATION_GET, err);

	if (r > 0)
		copy = strdup(store_text(s, 0));
	store_reset(store, STMT_OPERATION_GET);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "no operation '%s'", id);
	if (!copy)
		return error_errno(err, -ENOMEM, "operation");
	*ret_document = copy;
	return 0;
}

int operations_expire(struct store *store, int64_t now_ms, struct error *err)
{
	int r = store_change(store, STMT_OPERATION_EXPIRE, err, "i", now_ms - OPERATIONS_KEPT_MS);

	if (r >= 0)
		r = store_change(store, STMT_OPERATION_BOUND, err, "i", (int64_t)OPERATIONS_KEPT);
	return r < 0 ? r : 0;
}

/* Walks a bound statement whose last column is the document and whose first, if there are two, is
 * the number. */
static int walk(struct store *store, enum statement which, journal_each_fn *fn, void *data,
		struct error *err)
{
	sqlite3_stmt *s = store->stmt[which];
	int last = sqlite3_column_count(s) - 1;
	int r;

	while ((r = store_step(store, which, err)) > 0) {
		r = fn(last > 0 ? sqlite3_column_int64(s, 0) : 0, store_text(s, last), data, err);
		if (r < 0)
			break;
	}
	store_reset(store, which);
	return r;
}

int operations_each(struct store *store, const char *before, const struct operation_filter *filter,
		    int limit, journal_each_fn *fn, void *data, struct error *err)
{
	/* "~" sorts behind every character of an id. */
	(void)store_bind(store, STMT_OPERATION_LIST, "tittt", before[0] ? before : "~",
			 (int64_t)limit, filter->kind, filter->target, filter->state);
	return walk(store, STMT_OPERATION_LIST, fn, data, err);
}

int operations_each_interrupted(struct store *store, journal_each_fn *fn, void *data,
				struct error *err)
{
	return walk(store, STMT_OPERATION_INTERRUPTED, fn, data, err);
}

int events_insert(struct store *store, int64_t seq, int64_t at_ms, const char *kind,
		  const char *target, const char *who, const char *document, struct error *err)
{
	int r = store_change(store, STMT_EVENT_INSERT, err, "iitttt", seq, at_ms, kind, target, who,
			     document);

	return r < 0 ? r : 0;
}

int events_each(struct store *store, int64_t after, const struct event_filter *filter, int limit,
		journal_each_fn *fn, void *data, struct error *err)
{
	(void)store_bind(store, STMT_EVENT_LIST, "iittt", after, (int64_t)limit, filter->kind,
			 filter->target, filter->who);
	return walk(store, STMT_EVENT_LIST, fn, data, err);
}

int events_last_named(struct store *store, const char *kind, const char *name, char *ret_target,
		      size_t size, struct error *err)
{
	char words[300];
	sqlite3_stmt *s;
	int r;

	(void)sqlite3_snprintf((int)sizeof(words), words, "\"target_name\":\"%s\"", name);
	s = store_bind(store, STMT_EVENT_LAST_NAMED, "tt", kind, words);
	r = store_step(store, STMT_EVENT_LAST_NAMED, err);
	if (r > 0)
		store_copy(s, 0, ret_target, size);
	store_reset(store, STMT_EVENT_LAST_NAMED);
	if (r < 0)
		return r;
	return r > 0 ? 0 : error_set(err, ERR_NOT_FOUND, "no event %s of '%s'", kind, name);
}

int events_oldest(struct store *store, int64_t *ret_seq, struct error *err)
{
	int r = store_step(store, STMT_EVENT_OLDEST, err);

	if (r > 0)
		*ret_seq = sqlite3_column_int64(store->stmt[STMT_EVENT_OLDEST], 0);
	store_reset(store, STMT_EVENT_OLDEST);
	return r < 0 ? r : 0;
}

int events_each_latest(struct store *store, int limit, journal_each_fn *fn, void *data,
		       struct error *err)
{
	(void)store_bind(store, STMT_EVENT_LATEST, "i", (int64_t)limit);
	return walk(store, STMT_EVENT_LATEST, fn, data, err);
}

int events_bound(struct store *store, struct error *err)
{
	int r = store_change(store, STMT_EVENT_BOUND, err, "i", (int64_t)EVENTS_KEPT);

	if (r >= 0)
		r = store_change(store, STMT_EVENT_BOUND_REQUESTS, err, "i",
				 (int64_t)REQUESTS_KEPT);
	return r < 0 ? r : 0;
}
