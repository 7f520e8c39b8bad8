/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "server/store/store_internal.h"

/* "bngr": tells our databases from others (PRAGMA application_id). */
enum { APPLICATION_ID = 0x626e6772, SCHEMA_VERSION = 1 + STORE_STEPS };

/* For how long somebody else's lock is waited for, at the start and later, and for how long nothing
 * is waited for after that was in vain: the caller is the loop's thread, which has others to serve.
 */
enum { OPEN_BUSY_MS = 2000, BUSY_MS = 20, BUSY_STEP_MS = 2, BUSY_REST_US = 5 * 1000 * 1000 };

/* Texts that are put together from literals: parentheses would undo that.
 * NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define STATEMENT_TEXT(name, sql) [STMT_##name] = sql,
static const char *const sql_text[] = { STATEMENTS(STATEMENT_TEXT) };
static_assert(ARRAY_SIZE(sql_text) == STMT_MAX_, "every statement has its text");

static int fail(struct store *store, struct error *err, const char *what)
{
	int rc = sqlite3_extended_errcode(store->db);
	enum error_code code = ERR_INTERNAL;

	if ((rc & 0xff) == SQLITE_BUSY && store->opened)
		return store_fail_locked(store, err);
	if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
		code = ERR_UNAVAILABLE;
	else if ((rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_NOMEM)
		code = ERR_NO_ROOM;
	else if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
		 rc == SQLITE_CONSTRAINT_ROWID)
		code = ERR_EXISTS;
	return error_set(err, code, "%s: %s", what, sqlite3_errmsg(store->db));
}

static int exec_sql(struct store *store, const char *sql, struct error *err, const char *what)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(store, err, what);
	return 0;
}

/* The single integer of a PRAGMA or SELECT. */
static int query_int(struct store *store, const char *sql, int64_t *ret_value, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		r = fail(store, err, sql);
	else
		*ret_value = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return r;
}

static int quick_check(struct store *store, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		r = fail(store, err, "check");
	else if (!streq(store_text(stmt, 0), "ok")) {
		r = error_set(err, ERR_INTERNAL, "damaged: %s", store_text(stmt, 0));
		for (char *c = err->msg; *c; c++)
			if (*c == '\n')
				*c = ' ';
	}
	(void)sqlite3_finalize(stmt);
	return r;
}

static int check_version(int64_t application, int64_t version, struct error *err)
{
	if (application != APPLICATION_ID || version < 1)
		return error_set(err, ERR_INTERNAL, "not a database of banger");
	if (version > SCHEMA_VERSION)
		return error_set(
			err, ERR_INTERNAL,
			"made by a newer banger (its schema is version %lld, this one knows %d)",
			(long long)version, SCHEMA_VERSION);
	return 0;
}

/* Brings the schema from `version` to ours: in one transaction, so a crash leaves the old one. */
static int upgrade(struct store *store, int64_t version, struct error *err)
{
	char sql[64];
	int r = exec_sql(store, "BEGIN IMMEDIATE", err, "upgrade");

	for (int64_t i = version; r == 0 && i < SCHEMA_VERSION; i++)
		r = exec_sql(store, store_steps[i - 1], err, "upgrade");
	(void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA user_version=%d; COMMIT", SCHEMA_VERSION);
	return r == 0 ? exec_sql(store, sql, err, "upgrade") : r;
}

static int create(struct store *store, struct error *err)
{
	char sql[64];
	int r = exec_sql(store, "BEGIN IMMEDIATE", err, "create");

	store->is_new = true;
	(void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA application_id=%d", APPLICATION_ID);
	if (r == 0)
		r = exec_sql(store, sql, err, "create");
	if (r == 0)
		r = exec_sql(store, store_schema, err, "create tables");
	for (size_t i = 0; r == 0 && i < STORE_STEPS; i++)
		r = exec_sql(store, store_steps[i], err, "create tables");
	(void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA user_version=%d; COMMIT", SCHEMA_VERSION);
	return r == 0 ? exec_sql(store, sql, err, "create") : r;
}

static int create_or_verify(struct store *store, struct error *err)
{
	int64_t application = 0;
	int64_t version = 0;
	int64_t tables = 0;
	int r;

	r = query_int(store, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r == 0)
		r = query_int(store, "PRAGMA application_id", &application, err);
	if (r == 0)
		r = query_int(store, "PRAGMA user_version", &version, err);
	if (r < 0)
		return r;
	if (tables == 0)
		return create(store, err);
	r = check_version(application, version, err);
	if (r == 0)
		r = quick_check(store, err);
	return r == 0 && version < SCHEMA_VERSION ? upgrade(store, version, err) : r;
}

static int prepare_all(struct store *store, struct error *err)
{
	for (size_t i = 0; i < STMT_MAX_; i++) {
		if (sqlite3_prepare_v3(store->db, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->stmt[i], NULL) != SQLITE_OK)
			return fail(store, err, sql_text[i]);
	}
	return 0;
}

static int on_busy(void *data, int tries)
{
	static const struct timespec step = { .tv_nsec = BUSY_STEP_MS * 1000000L };
	struct store *store = data;
	int64_t now = clock_mono_us();

	if (store->hasty || (store->waited_us && now - store->waited_us < BUSY_REST_US))
		return 0;
	if (tries >= (store->opened ? BUSY_MS : OPEN_BUSY_MS) / BUSY_STEP_MS) {
		store->waited_us = now;
		return 0;
	}
	(void)nanosleep(&step, NULL);
	return 1;
}

static int open_steps(struct store *store, const char *path, struct error *err)
{
	int r;

	if (sqlite3_open_v2(path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return fail(store, err, "open");
	(void)sqlite3_busy_handler(store->db, on_busy, store);
	r = exec_sql(store,
		     "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
		     "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-1024;",
		     err, "open");
	if (r == 0)
		r = create_or_verify(store, err);
	if (r == 0)
		r = prepare_all(store, err);
	return r;
}

int store_open(const char *path, struct store **ret_store, struct error *err)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_errno(err, -ENOMEM, "store");
	store->path = strdup(path);
	r = store->path ? open_steps(store, path, err) : error_errno(err, -ENOMEM, "store");
	if (r < 0) {
		store_close(store);
		return error_wrap(err,
				  "database %s (move it away to start with an empty one; disks are "
				  "then set aside, not removed)",
				  path);
	}
	store->opened = true;
	store->no_reserve = true;
	store_keep_reserve(store);
	*ret_store = store;
	return 0;
}

bool store_is_new(const struct store *store)
{
	return store->is_new;
}

uint64_t store_changes(const struct store *store)
{
	return (uint64_t)sqlite3_total_changes64(store->db);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < STMT_MAX_; i++)
		(void)sqlite3_finalize(store->stmt[i]);
	(void)sqlite3_close(store->db);
	free(store->path);
	free(store);
}

int store_check(const char *path, bool *ret_exists, struct error *err)
{
	struct store store = { 0 };
	int64_t application = 0;
	int64_t version = 0;
	int r = 0;

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		*ret_exists = false;
		return 0;
	}
	if (sqlite3_open_v2(path, &store.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		r = fail(&store, err, "open");
	if (r == 0)
		r = query_int(&store, "PRAGMA application_id", &application, err);
	if (r == 0)
		r = query_int(&store, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = quick_check(&store, err);
	if (r == 0)
		r = check_version(application, version, err);
	(void)sqlite3_close(store.db);
	if (r < 0)
		return error_wrap(err, "database %s", path);
	*ret_exists = true;
	return 0;
}

/* --- statements --- */

sqlite3_stmt *store_bind(struct store *store, enum statement which, const char *types, ...)
{
	sqlite3_stmt *stmt = store->stmt[which];
	va_list ap;

	va_start(ap, types);
	for (int i = 0; types[i]; i++) {
		if (types[i] == 't') {
			const char *text = va_arg(ap, const char *);

			(void)sqlite3_bind_text(stmt, i + 1, text, -1, SQLITE_TRANSIENT);
		} else {
			assert(types[i] == 'i');
			(void)sqlite3_bind_int64(stmt, i + 1, va_arg(ap, int64_t));
		}
	}
	va_end(ap);
	return stmt;
}

int store_step(struct store *store, enum statement which, struct error *err)
{
	switch (sqlite3_step(store->stmt[which])) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return fail(store, err, "database");
	}
}

void store_reset(struct store *store, enum statement which)
{
	(void)sqlite3_reset(store->stmt[which]);
	(void)sqlite3_clear_bindings(store->stmt[which]);
}

const int64_t store_bounds_us[STORE_BOUNDS] = { 100, 250, 500, 1000, 2500, 10000, 100000, 1000000 };

static void count_write(struct store_writes *w, int64_t took_us)
{
	w->count++;
	w->sum_us += (uint64_t)took_us;
	for (size_t i = 0; i < ARRAY_SIZE(store_bounds_us); i++) {
		if (took_us <= store_bounds_us[i]) {
			w->within[i]++;
			return;
		}
	}
}

const struct store_writes *store_writes(const struct store *store)
{
	return &store->writes;
}

/* Of what makes room, or says that it will be made. */
static bool may_take_reserve(enum statement which)
{
	static const enum statement rows[] = {
		STMT_VM_SET_DELETING,  STMT_VM_DELETE,       STMT_IMAGE_DELETE, STMT_KERNEL_DELETE,
		STMT_RUN_DELETE,       STMT_EXEC_DELETE,     STMT_HOLD_DELETE,  STMT_FORWARD_DELETE,
		STMT_WORKSPACE_DELETE, STMT_OPERATION_BOUND, STMT_EVENT_BOUND,  STMT_TOKEN_DELETE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i] == which)
			return true;
	return false;
}

int store_run(struct store *store, enum statement which, struct error *err)
{
	int64_t begun = clock_mono_us();
	int r = store_step(store, which, err);

	if (r < 0 && err->code == ERR_NO_ROOM && may_take_reserve(which) &&
	    store_give_reserve(store)) {
		*err = ERROR_INIT;
		(void)sqlite3_reset(store->stmt[which]);
		r = store_step(store, which, err);
	}
	if (r >= 0)
		r = sqlite3_changes(store->db);
	store_reset(store, which);
	count_write(&store->writes, clock_mono_us() - begun);
	return r;
}

const char *store_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text ? (const char *)text : "";
}

void store_copy(sqlite3_stmt *stmt, int column, char *dst, size_t size)
{
	(void)sqlite3_snprintf((int)size, dst, "%s", store_text(stmt, column));
}

/* --- transactions --- */

int store_tx_begin(struct store *store, struct store_tx *ret_tx, struct error *err)
{
	int r = store_run(store, STMT_BEGIN, err);

	if (r < 0)
		return r;
	ret_tx->store = store;
	return 0;
}

int store_tx_commit(struct store_tx *tx, struct error *err)
{
	int r = store_run(tx->store, STMT_COMMIT, err);

	if (r < 0)
		return r;
	tx->store = NULL;
	return 0;
}

void store_tx_done(struct store_tx *tx)
{
	struct error ignored;

	if (tx->store)
		(void)!store_run(tx->store, STMT_ROLLBACK, &ignored);
	tx->store = NULL;
}
