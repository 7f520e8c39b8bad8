/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of ports of the host that lead into a guest. They go with their VM. */
#pragma once

#include "lib/base/id.h"
#include "server/store/store.h"

struct forward_row {
	char id[ID_LEN + 1];
	char vm_id[ID_LEN + 1];
	int64_t host_port;
	char guest_host[64]; /* as the guest sees it: "localhost" or a numeric address */
	int64_t guest_port;
};

/* ERR_EXISTS when another one has the host's port. */
int forwards_insert(struct store *store, const struct forward_row *f, struct error *err) MUST_USE;
int forwards_delete(struct store *store, const char *id, struct error *err) MUST_USE;

/* Calls fn for each row, oldest first; a negative return of fn ends the walk and is returned. */
typedef int forwards_each_fn(const struct forward_row *row, void *data, struct error *err);
int forwards_each(struct store *store, forwards_each_fn *fn, void *data,
		  struct error *err) MUST_USE;
