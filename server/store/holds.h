/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of holds: what keeps a VM from being stopped for idleness. They go with their VM. */
#pragma once

#include "lib/base/id.h"
#include "server/store/store.h"

struct hold_row {
	char id[ID_LEN + 1];
	char vm_id[ID_LEN + 1];
	char reason[129];
	char who[128];
	int64_t expires_ms;
};

int holds_insert(struct store *store, const struct hold_row *h, struct error *err) MUST_USE;
int holds_delete(struct store *store, const char *id, struct error *err) MUST_USE;

/* Calls fn for each row, oldest first; a negative return of fn ends the walk and is returned. */
typedef int holds_each_fn(const struct hold_row *row, void *data, struct error *err);
int holds_each(struct store *store, holds_each_fn *fn, void *data, struct error *err) MUST_USE;
