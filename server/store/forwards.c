/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/forwards.h"

#include "server/store/store_internal.h"

int forwards_insert(struct store *store, const struct forward_row *f, struct error *err)
{
	int r = store_change(store, STMT_FORWARD_INSERT, err, "ttiti", f->id, f->vm_id,
			     f->host_port, f->guest_host, f->guest_port);

	if (r < 0 && err->code == ERR_EXISTS)
		return error_set(err, ERR_EXISTS, "port %d of this host belongs to another forward",
				 (int)f->host_port);
	return r < 0 ? r : 0;
}

int forwards_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_FORWARD_DELETE, err, "t", id);

	return r < 0 ? r : 0;
}

int forwards_each(struct store *store, forwards_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_FORWARD_LIST];
	int r;

	while ((r = store_step(store, STMT_FORWARD_LIST, err)) > 0) {
		struct forward_row row = { .host_port = sqlite3_column_int64(s, 2),
					   .guest_port = sqlite3_column_int64(s, 4) };

		store_copy(s, 0, row.id, sizeof(row.id));
		store_copy(s, 1, row.vm_id, sizeof(row.vm_id));
		store_copy(s, 3, row.guest_host, sizeof(row.guest_host));
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_FORWARD_LIST);
	return r;
}
