/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/replays.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/store_internal.h"

static int read_row(sqlite3_stmt *s, struct replay_row *ret_row, struct error *err)
{
	struct replay_row row = {
		.status = sqlite3_column_int64(s, 1),
		.headers = strdup(store_text(s, 2)),
		.body = strdup(store_text(s, 3)),
	};

	store_copy(s, 0, row.request_hash, sizeof(row.request_hash));
	if (!row.headers || !row.body) {
		free(row.headers);
		free(row.body);
		return error_errno(err, -ENOMEM, "kept reply");
	}
	*ret_row = row;
	return 0;
}

int replay_get(struct store *store, const char *who, const char *key, int64_t now_ms,
	       struct replay_row *ret_row, struct error *err)
{
	sqlite3_stmt *s;
	int r = store_change(store, STMT_IDEMPOTENCY_EXPIRE, err, "i", now_ms - REPLAY_LIFE_MS);

	if (r < 0)
		return r;
	s = store_bind(store, STMT_IDEMPOTENCY_GET, "tt", key, who);
	r = store_step(store, STMT_IDEMPOTENCY_GET, err);
	if (r > 0)
		r = read_row(s, ret_row, err);
	else if (r == 0)
		r = -ENOENT;
	store_reset(store, STMT_IDEMPOTENCY_GET);
	return r;
}

int replay_put(struct store *store, const char *who, const char *key, const struct replay_row *row,
	       int64_t now_ms, struct error *err)
{
	int r = store_change(store, STMT_IDEMPOTENCY_PUT, err, "tttitti", key, who,
			     row->request_hash, row->status, row->headers, row->body, now_ms);

	return r < 0 ? r : 0;
}

int replay_delete(struct store *store, const char *who, const char *key, struct error *err)
{
	int r = store_change(store, STMT_IDEMPOTENCY_DELETE, err, "tt", key, who);

	return r < 0 ? r : 0;
}
