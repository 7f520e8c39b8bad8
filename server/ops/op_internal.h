/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share; not for others. */
#pragma once

#include <pthread.h>

#include "server/ops/op.h"

struct op_part {
	char name[OP_PART_NAME_MAX + 1];
	uint64_t done;
	uint64_t total;
};

struct undo {
	void (*fn)(void *data);
	void *data;
};

struct watch {
	struct watch *next;
	op_watch_fn *fn;
	void *data;
};

struct op {
	struct ops *ops;
	struct loop *loop;
	struct op *prev;
	struct op *next;
	struct op *next_work;
	struct op *ahead; /* of those with its queue that have not ended */
	struct op *behind;
	unsigned int refs;

	struct id id;
	const char *kind;
	char *target;
	char *target_name;
	char *queue;
	char *request_by;
	op_run_fn *run;
	op_data_fn *free_data;
	op_done_fn *done;
	void *data;

	enum op_state state;
	struct error error;
	int64_t created_ms;
	int64_t ended_ms;
	struct watch *watches;

	int cancel_fd;
	bool cancelled; /* atomic */

	struct undo undo[OP_UNDO_MAX]; /* the worker's */
	size_t n_undo;
	struct error run_error;
	int run_result;

	pthread_mutex_t lock; /* guards what follows */
	int64_t start_us;
	int64_t end_us;
	struct op_stage stages[OP_STAGES_MAX];
	size_t n_stages;
	uint64_t done_units;
	uint64_t total_units;
	const char *unit;
	struct op_part *parts; /* OP_PARTS_MAX of them, where the stage has any */
	size_t n_parts;
	json_t *result;
};

/* A test may end the server here. */
void op_boundary(const struct op *op, const char *stage);
/* On the loop: the listener is told that the operation is another. */
void op_tell(struct op *op);
/* Ends the stage that runs; op->lock is held. */
void op_end_stage_locked(struct op *op, int64_t now_us);
