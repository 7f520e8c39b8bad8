/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/execs.h"

#include "server/store/store_internal.h"

int execs_insert(struct store *store, const struct exec_row *e, struct error *err)
{
	int r = store_change(store, STMT_EXEC_INSERT, err, "ttttttiii", e->id, e->vm_id, e->state,
			     e->argv, e->user, e->by, (int64_t)e->tty, (int64_t)e->temporary,
			     e->created_ms);

	return r < 0 ? r : 0;
}

int execs_update(struct store *store, const struct exec_row *e, struct error *err)
{
	int r = store_change(store, STMT_EXEC_UPDATE, err, "ttiiiiitii", e->id, e->state, e->pid,
			     e->exit_code, e->signal, (int64_t)e->timed_out, e->output_bytes,
			     e->reason, e->started_ms, e->ended_ms);

	return r < 0 ? r : 0;
}

int execs_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_EXEC_DELETE, err, "t", id);

	return r < 0 ? r : 0;
}

static void read_row(sqlite3_stmt *s, struct exec_row *e)
{
	int c = 0;

	store_copy(s, c++, e->id, sizeof(e->id));
	store_copy(s, c++, e->vm_id, sizeof(e->vm_id));
	store_copy(s, c++, e->state, sizeof(e->state));
	store_copy(s, c++, e->argv, sizeof(e->argv));
	store_copy(s, c++, e->user, sizeof(e->user));
	store_copy(s, c++, e->by, sizeof(e->by));
	e->tty = sqlite3_column_int64(s, c++) != 0;
	e->temporary = sqlite3_column_int64(s, c++) != 0;
	e->pid = sqlite3_column_int64(s, c++);
	e->exit_code = sqlite3_column_int64(s, c++);
	e->signal = sqlite3_column_int64(s, c++);
	e->timed_out = sqlite3_column_int64(s, c++) != 0;
	e->output_bytes = sqlite3_column_int64(s, c++);
	store_copy(s, c++, e->reason, sizeof(e->reason));
	e->created_ms = sqlite3_column_int64(s, c++);
	e->started_ms = sqlite3_column_int64(s, c++);
	e->ended_ms = sqlite3_column_int64(s, c);
}

int execs_each(struct store *store, execs_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_EXEC_LIST];
	int r;

	while ((r = store_step(store, STMT_EXEC_LIST, err)) > 0) {
		struct exec_row row = { .tty = false };

		read_row(s, &row);
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_EXEC_LIST);
	return r;
}
