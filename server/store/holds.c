/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/holds.h"

#include "server/store/store_internal.h"

int holds_insert(struct store *store, const struct hold_row *h, struct error *err)
{
	int r = store_change(store, STMT_HOLD_INSERT, err, "tttti", h->id, h->vm_id, h->reason,
			     h->who, h->expires_ms);

	return r < 0 ? r : 0;
}

int holds_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_HOLD_DELETE, err, "t", id);

	return r < 0 ? r : 0;
}

int holds_each(struct store *store, holds_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_HOLD_LIST];
	int r;

	while ((r = store_step(store, STMT_HOLD_LIST, err)) > 0) {
		struct hold_row row = { .expires_ms = sqlite3_column_int64(s, 4) };

		store_copy(s, 0, row.id, sizeof(row.id));
		store_copy(s, 1, row.vm_id, sizeof(row.vm_id));
		store_copy(s, 2, row.reason, sizeof(row.reason));
		store_copy(s, 3, row.who, sizeof(row.who));
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_HOLD_LIST);
	return r;
}
