/* SPDX-License-Identifier: Apache-2.0 */
/* What a running operation says of itself, from its worker's thread: stages, progress, what to
 * undo, its result. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#include "lib/base/clock.h"
#include "server/ops/op_internal.h"

/* How often a lock is tried. */
enum { LOCK_TICK_MS = 50 };

static ops_boundary_fn *boundary;

void ops_set_boundary(ops_boundary_fn *fn)
{
	boundary = fn;
}

void op_boundary(const struct op *op, const char *stage)
{
	if (boundary)
		boundary(op->kind, stage);
}

void op_end_stage_locked(struct op *op, int64_t now_us)
{
	if (op->n_stages > 0 && op->stages[op->n_stages - 1].end_us == 0)
		op->stages[op->n_stages - 1].end_us = now_us - op->start_us;
}

/* A running operation holds a reference until its end is posted, and posts run in order: it still
 * lives here. */
static void on_stage(void *data)
{
	op_tell(data);
}

void op_stage(struct op *op, const char *name)
{
	int64_t now = clock_mono_us();

	op_boundary(op, name);
	pthread_mutex_lock(&op->lock);
	op_end_stage_locked(op, now);
	if (op->n_stages < OP_STAGES_MAX) {
		struct op_stage *s = &op->stages[op->n_stages++];

		(void)snprintf(s->name, sizeof(s->name), "%s", name);
		s->start_us = now - op->start_us;
		s->end_us = 0;
	}
	op->done_units = 0;
	op->total_units = 0;
	op->n_parts = 0;
	free(op->parts);
	op->parts = NULL;
	pthread_mutex_unlock(&op->lock);
	(void)!loop_post(op->loop, on_stage, op);
}

void op_progress(struct op *op, uint64_t done, uint64_t total, const char *unit)
{
	pthread_mutex_lock(&op->lock);
	op->done_units = done;
	op->total_units = total;
	op->unit = unit;
	pthread_mutex_unlock(&op->lock);
}

void op_part(struct op *op, size_t index, const char *name, uint64_t done, uint64_t total)
{
	if (index >= OP_PARTS_MAX)
		return;
	pthread_mutex_lock(&op->lock);
	if (!op->parts)
		op->parts = calloc(OP_PARTS_MAX, sizeof(*op->parts));
	if (op->parts) {
		struct op_part *p = &op->parts[index];

		(void)snprintf(p->name, sizeof(p->name), "%s", name);
		p->done = done;
		p->total = total;
		if (op->n_parts <= index)
			op->n_parts = index + 1;
	}
	pthread_mutex_unlock(&op->lock);
}

int op_check(struct op *op, struct error *err)
{
	if (!__atomic_load_n(&op->cancelled, __ATOMIC_ACQUIRE))
		return 0;
	return error_set(err, ERR_CANCELLED, "cancelled");
}

int op_cancel_fd(const struct op *op)
{
	return op->cancel_fd;
}

int op_lock_file(struct op *op, int fd, struct error *err)
{
	struct pollfd cancel = { .fd = op->cancel_fd, .events = POLLIN };

	for (;;) {
		int r = op_check(op, err);

		if (r < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
			return r;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_errno(err, -errno, "lock a file");
		(void)poll(&cancel, 1, LOCK_TICK_MS);
	}
}

void op_undo(struct op *op, void (*fn)(void *data), void *data)
{
	assert(op->n_undo < OP_UNDO_MAX);
	op->undo[op->n_undo++] = (struct undo){ .fn = fn, .data = data };
}

void op_set_result(struct op *op, json_t *result)
{
	pthread_mutex_lock(&op->lock);
	json_decref(op->result);
	op->result = result;
	pthread_mutex_unlock(&op->lock);
}
