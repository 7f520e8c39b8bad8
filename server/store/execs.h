/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of commands that outlive their clients. They go with their VM. */
#pragma once

#include "lib/base/id.h"
#include "server/store/store.h"

enum { EXEC_ARGV_MAX = 4096 };

struct exec_row {
	char id[ID_LEN + 1];
	char vm_id[ID_LEN + 1];
	char state[16];
	char argv[EXEC_ARGV_MAX + 1]; /* a JSON array of strings */
	char user[65];                /* "": root */
	char by[128];                 /* who asked for it */
	bool tty;
	bool temporary;
	int64_t pid;       /* in the guest; 0 before it is known */
	int64_t exit_code; /* -1: none */
	int64_t signal;    /* 0: none */
	bool timed_out;
	int64_t output_bytes; /* in all, once it has ended */
	char reason[512];
	int64_t created_ms;
	int64_t started_ms;
	int64_t ended_ms;
};

int execs_insert(struct store *store, const struct exec_row *e, struct error *err) MUST_USE;
/* Writes state, pid, how it ended, and times. */
int execs_update(struct store *store, const struct exec_row *e, struct error *err) MUST_USE;
int execs_delete(struct store *store, const char *id, struct error *err) MUST_USE;

/* Calls fn for each row, oldest first; a negative return of fn ends the walk and is returned. */
typedef int execs_each_fn(const struct exec_row *row, void *data, struct error *err);
int execs_each(struct store *store, execs_each_fn *fn, void *data, struct error *err) MUST_USE;
