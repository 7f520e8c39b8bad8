/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/runs.h"

#include <errno.h>
#include <stdlib.h>

#include "server/store/store_internal.h"

int runs_put(struct store *store, const char *id, const char *state, int64_t created_ms,
	     const char *document, struct error *err)
{
	int r = store_change(store, STMT_RUN_PUT, err, "ttit", id, state, created_ms, document);

	return r < 0 ? r : 0;
}

int runs_read(struct store *store, const char *id, char **ret_document, struct error *err)
{
	sqlite3_stmt *s = store_bind(store, STMT_RUN_GET, "t", id);
	char *copy = NULL;
	int r = store_step(store, STMT_RUN_GET, err);

	if (r > 0)
		copy = strdup(store_text(s, 0));
	store_reset(store, STMT_RUN_GET);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "no run '%s'", id);
	if (!copy)
		return error_errno(err, -ENOMEM, "run");
	*ret_document = copy;
	return 0;
}

int runs_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_RUN_DELETE, err, "t", id);

	return r < 0 ? r : 0;
}

int runs_rows(struct store *store, const char *before, runs_row_fn *fn, void *data,
	      struct error *err)
{
	/* "~" sorts behind every character of an id. */
	sqlite3_stmt *s = store_bind(store, STMT_RUN_LIST, "t", before[0] ? before : "~");
	int r;

	while ((r = store_step(store, STMT_RUN_LIST, err)) > 0) {
		r = fn(store_text(s, 0), data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_RUN_LIST);
	return r;
}

int runs_oldest_beyond(struct store *store, unsigned int kept, char *ret_id, size_t size,
		       struct error *err)
{
	sqlite3_stmt *s = store_bind(store, STMT_RUN_BEYOND, "i", (int64_t)kept);
	int r = store_step(store, STMT_RUN_BEYOND, err);

	if (r > 0)
		store_copy(s, 0, ret_id, size);
	store_reset(store, STMT_RUN_BEYOND);
	return r;
}
