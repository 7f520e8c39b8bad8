/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/images.h"

#include "server/store/store_internal.h"

int images_put(struct store *store, const struct image_row *i, struct error *err)
{
	int r = store_change(store, STMT_IMAGE_PUT, err, "tttiti", i->id, i->name, i->source,
			     i->size_bytes, i->config, i->created_ms);

	return r < 0 ? r : 0;
}

int images_delete(struct store *store, const char *name, struct error *err)
{
	int r = store_change(store, STMT_IMAGE_DELETE, err, "t", name);

	return r < 0 ? r : 0;
}

int kernels_put(struct store *store, const struct kernel_row *k, struct error *err)
{
	int r = store_change(store, STMT_KERNEL_PUT, err, "ttttiti", k->id, k->name, k->version,
			     k->source, k->size_bytes, k->cmdline, k->created_ms);

	return r < 0 ? r : 0;
}

int kernels_delete(struct store *store, const char *name, struct error *err)
{
	int r = store_change(store, STMT_KERNEL_DELETE, err, "t", name);

	return r < 0 ? r : 0;
}

int images_each(struct store *store, images_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_IMAGE_LIST];
	int r;

	while ((r = store_step(store, STMT_IMAGE_LIST, err)) > 0) {
		struct image_row row = { 0 };

		store_copy(s, 0, row.id, sizeof(row.id));
		store_copy(s, 1, row.name, sizeof(row.name));
		store_copy(s, 2, row.source, sizeof(row.source));
		row.size_bytes = sqlite3_column_int64(s, 3);
		store_copy(s, 4, row.config, sizeof(row.config));
		row.created_ms = sqlite3_column_int64(s, 5);
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_IMAGE_LIST);
	return r;
}

int kernels_each(struct store *store, kernels_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_KERNEL_LIST];
	int r;

	while ((r = store_step(store, STMT_KERNEL_LIST, err)) > 0) {
		struct kernel_row row = { 0 };

		store_copy(s, 0, row.id, sizeof(row.id));
		store_copy(s, 1, row.name, sizeof(row.name));
		store_copy(s, 2, row.version, sizeof(row.version));
		store_copy(s, 3, row.source, sizeof(row.source));
		row.size_bytes = sqlite3_column_int64(s, 4);
		store_copy(s, 5, row.cmdline, sizeof(row.cmdline));
		row.created_ms = sqlite3_column_int64(s, 6);
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_KERNEL_LIST);
	return r;
}
