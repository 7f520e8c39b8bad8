/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share; nobody else includes it. */
#pragma once

#include <sqlite3.h>

#include "server/store/statements.h"
#include "server/store/store.h"

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *stmt[STMT_MAX_];
	bool is_new;
	bool opened;     /* others are served: nothing may wait for long */
	bool hasty;      /* nothing may wait at all */
	bool no_reserve; /* the file for deletions on a full disk is not there, or not known to be
			  */
	struct store_writes writes;
	struct error locked; /* who has the lock, as it was told last */
	int64_t holder_us;   /* when that was found; 0: never */
	int64_t locked_us;   /* when it was met last */
	int64_t waited_us; /* when a wait for somebody else's lock was last given up; 0: none was */
};

/* The tables of version 1, one string, and what each later version changes. */
enum { STORE_STEPS = 1 };
extern const char store_schema[];
extern const char *const store_steps[STORE_STEPS];

/*
 * Binds ?1… by the letters of `types`: t text (const char *, NULL is NULL), i int64_t. Then the
 * caller steps the statement with store_step() and ends with store_reset(), or does all at once
 * with store_change().
 */
sqlite3_stmt *store_bind(struct store *store, enum statement which, const char *types, ...);
/* 1: a row, 0: no more, negative: error. */
int store_step(struct store *store, enum statement which, struct error *err) MUST_USE;
void store_reset(struct store *store, enum statement which);

/* Steps a bound statement that returns no rows; the number of rows changed, or an error. */
int store_run(struct store *store, enum statement which, struct error *err) MUST_USE;

#define store_change(store, which, err, types, ...)                \
	((void)store_bind((store), (which), (types), __VA_ARGS__), \
	 store_run((store), (which), (err)))

/* Column as text; "" for NULL. Valid until the next step. */
const char *store_text(sqlite3_stmt *stmt, int column);
/* Copies a text column; what does not fit is cut (the schema's CHECKs keep it from happening). */
void store_copy(sqlite3_stmt *stmt, int column, char *dst, size_t size);

/* lock.c: an error that says who holds the lock. */
int store_fail_locked(struct store *store, struct error *err);
/* reserve.c: false when it is given up already. */
bool store_give_reserve(struct store *store);
