/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: one SQLite database (WAL, STRICT tables, foreign keys) that holds intent before
 * anything is done.
 *
 * One thread uses it, the loop's. All statements are prepared at open, so that a mistake in one
 * stops the start. Commits survive a crash of the server; after a power loss the last moments may
 * be missing (synchronous=NORMAL), never half of a transaction.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

/* How long statements that change something took, waits for others' locks included. */
enum { STORE_BOUNDS = 8 };
struct store_writes {
	uint64_t within[STORE_BOUNDS]; /* took at most store_bounds_us[i], and not less */
	uint64_t count;
	uint64_t sum_us;
};
extern const int64_t store_bounds_us[STORE_BOUNDS];

struct store;

/* Opens or makes the database. A damaged or foreign file is refused with what to do about it. */
int store_open(const char *path, struct store **ret_store, struct error *err) MUST_USE;
/* True when store_open() made the database, or found it without a single table. */
bool store_is_new(const struct store *store);
/* Grows with every row that is written. */
const struct store_writes *store_writes(const struct store *store);
uint64_t store_changes(const struct store *store);
/*
 * 0, or ERR_UNAVAILABLE and who it is when another process holds the lock without which nothing can
 * be written. Does not wait; what is wrong otherwise is left for the write to tell. Statements wait
 * for such a lock only so long that nobody notices, and fail with the same error.
 */
int store_try_write(struct store *store, struct error *err) MUST_USE;
/* The same for many who wait at once: for some milliseconds the last "no" is good for all. */
int store_writable(struct store *store, struct error *err) MUST_USE;
/* Sees to the room on the disk that a deletion may take when it is full. */
void store_keep_reserve(struct store *store);
/* NULL is fine. */
void store_close(struct store *store);

/*
 * Looks at a database without changing anything, for doctor: 0 and *ret_exists, or an error that
 * says why it can't be read.
 */
int store_check(const char *path, bool *ret_exists, struct error *err) MUST_USE;

/* A transaction: begins, and rolls back at the end of the scope unless committed. Scopes do not
 * nest. */
struct store_tx {
	struct store *store;
};
int store_tx_begin(struct store *store, struct store_tx *ret_tx, struct error *err) MUST_USE;
int store_tx_commit(struct store_tx *tx, struct error *err) MUST_USE;
void store_tx_done(struct store_tx *tx);
