/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/tokens.h"

#include "server/store/store_internal.h"

int tokens_insert(struct store *store, const struct token_row *t, struct error *err)
{
	int r = store_change(store, STMT_TOKEN_INSERT, err, "ttttii", t->id, t->name, t->scope,
			     t->hash, t->created_ms, t->expires_ms);

	return r < 0 ? r : 0;
}

int tokens_used(struct store *store, const char *id, int64_t now_ms, struct error *err)
{
	int r = store_change(store, STMT_TOKEN_USED, err, "ti", id, now_ms);

	return r < 0 ? r : 0;
}

int tokens_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_TOKEN_DELETE, err, "t", id);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "no token '%s'", id);
	return r < 0 ? r : 0;
}

int tokens_each(struct store *store, tokens_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_TOKEN_LIST];
	int r;

	while ((r = store_step(store, STMT_TOKEN_LIST, err)) > 0) {
		struct token_row t = { 0 };

		store_copy(s, 0, t.id, sizeof(t.id));
		store_copy(s, 1, t.name, sizeof(t.name));
		store_copy(s, 2, t.scope, sizeof(t.scope));
		store_copy(s, 3, t.hash, sizeof(t.hash));
		t.created_ms = sqlite3_column_int64(s, 4);
		t.expires_ms = sqlite3_column_int64(s, 5);
		t.used_ms = sqlite3_column_int64(s, 6);
		r = fn(&t, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_TOKEN_LIST);
	return r;
}
