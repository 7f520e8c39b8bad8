/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens: only their hashes are stored. */
#pragma once

#include "lib/base/id.h"
#include "server/store/store.h"

struct token_row {
	char id[ID_LEN + 1];
	char name[64];
	char scope[8]; /* read, run, admin */
	char hash[72]; /* SHA-256, hexadecimal */
	int64_t created_ms;
	int64_t expires_ms; /* 0: never */
	int64_t used_ms;    /* 0: never */
};

int tokens_insert(struct store *store, const struct token_row *t, struct error *err) MUST_USE;
int tokens_used(struct store *store, const char *id, int64_t now_ms, struct error *err) MUST_USE;
/* ERR_NOT_FOUND when there is none. */
int tokens_delete(struct store *store, const char *id, struct error *err) MUST_USE;

typedef int tokens_each_fn(const struct token_row *row, void *data, struct error *err);
int tokens_each(struct store *store, tokens_each_fn *fn, void *data, struct error *err) MUST_USE;
