/* SPDX-License-Identifier: Apache-2.0 */
/* Replies kept under an Idempotency-Key. */
#pragma once

#include "server/store/store.h"

enum { REPLAY_LIFE_MS = 24 * 3600 * 1000 };

struct replay_row {
	char request_hash[72];
	int64_t status;
	char *headers; /* the caller frees, as the body */
	char *body;
};

/* 0, -ENOENT (err untouched) or an error. Records that are too old are removed first. */
int replay_get(struct store *store, const char *who, const char *key, int64_t now_ms,
	       struct replay_row *ret_row, struct error *err) MUST_USE;
/* Adds the record, or changes status, headers and body of the one that is there. */
int replay_put(struct store *store, const char *who, const char *key, const struct replay_row *row,
	       int64_t now_ms, struct error *err) MUST_USE;
int replay_delete(struct store *store, const char *who, const char *key,
		  struct error *err) MUST_USE;
