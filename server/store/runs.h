/* SPDX-License-Identifier: Apache-2.0 */
/* Runs, as the JSON documents that the API shows. */
#pragma once

#include "server/store/store.h"

int runs_put(struct store *store, const char *id, const char *state, int64_t created_ms,
	     const char *document, struct error *err) MUST_USE;
/* The caller frees *ret_document. ERR_NOT_FOUND when there is none. */
int runs_read(struct store *store, const char *id, char **ret_document, struct error *err) MUST_USE;
int runs_delete(struct store *store, const char *id, struct error *err) MUST_USE;

/* A negative return of fn ends the walk and is returned. */
typedef int runs_row_fn(const char *document, void *data, struct error *err);
/* Newest first, ids below `before` ("": from the newest). Rows may be changed meanwhile. */
int runs_rows(struct store *store, const char *before, runs_row_fn *fn, void *data,
	      struct error *err) MUST_USE;
/* The newest of the ended runs that are too many when `kept` may stay: 1 and its id, 0, or an
 * error.
 */
int runs_oldest_beyond(struct store *store, unsigned int kept, char *ret_id, size_t size,
		       struct error *err) MUST_USE;
