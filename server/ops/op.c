/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. The loop's thread keeps every operation in a list, newest last, and decides
 * which may run: the oldest queued one whose key no running one holds. Runnable ones go to the
 * workers through a list under `ops.lock`. A worker runs the body, then the undo list if it failed,
 * and posts the end back to the loop. What a worker changes while it runs (stages, progress,
 * result) is guarded by `op.lock`; everything else of an operation is the loop's.
 */
#include "server/ops/op_internal.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

enum { OPS_KEPT = 512, OPS_WAITING_MAX = 4096, WORKERS_MAX = 64, TRIM_EVERY_US = 1000 * 1000 };

struct ops {
	struct loop *loop;
	struct op *first; /* oldest */
	struct op *last;
	size_t count;
	size_t waiting; /* queued */
	unsigned int running;
	int64_t trimmed_us;
	ops_listener_fn *listener;
	void *listener_data;

	pthread_t threads[WORKERS_MAX];
	unsigned int n_threads;
	unsigned int max_threads;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more;
	struct op *work_first;
	struct op **work_last;
	unsigned int idle;
	bool stop;
};

static const char *const state_names[] = {
	[OP_QUEUED] = "queued", [OP_RUNNING] = "running",     [OP_SUCCEEDED] = "succeeded",
	[OP_FAILED] = "failed", [OP_CANCELLED] = "cancelled",
};
static_assert(ARRAY_SIZE(state_names) == OP_STATE_MAX_, "every state has a name");

const char *op_state_name(enum op_state state)
{
	return state_names[state];
}

void ops_set_listener(struct ops *ops, ops_listener_fn *fn, void *data)
{
	ops->listener = fn;
	ops->listener_data = data;
}

void op_tell(struct op *op)
{
	if (op->ops->listener)
		op->ops->listener(op, op->ops->listener_data);
}

/* --- life of one operation --- */

struct op *op_ref(struct op *op)
{
	op->refs++;
	return op;
}

static void op_free(struct op *op)
{
	while (op->watches) {
		struct watch *w = op->watches;

		op->watches = w->next;
		free(w);
	}
	json_decref(op->result);
	free(op->parts);
	free(op->target);
	free(op->target_name);
	free(op->queue);
	free(op->request_by);
	close_keep_errno(op->cancel_fd);
	pthread_mutex_destroy(&op->lock);
	free(op);
}

void op_unref(struct op *op)
{
	if (op && --op->refs == 0)
		op_free(op);
}

static char *copy_or_null(const char *s, bool *failed)
{
	char *copy;

	if (!s)
		return NULL;
	copy = strdup(s);
	*failed |= copy == NULL;
	return copy;
}

static struct op *op_new(struct ops *ops, const struct op_spec *spec)
{
	struct op *op = calloc(1, sizeof(*op));
	bool failed = false;

	if (!op)
		return NULL;
	pthread_mutex_init(&op->lock, NULL);
	op->ops = ops;
	op->loop = ops->loop;
	op->refs = 1;
	op->id = id_new();
	op->kind = spec->kind;
	op->target = copy_or_null(spec->target ? spec->target : "", &failed);
	op->target_name = copy_or_null(spec->target_name, &failed);
	op->queue = copy_or_null(spec->queue, &failed);
	op->request_by = copy_or_null(spec->request_by, &failed);
	op->run = spec->run;
	op->free_data = spec->free_data;
	op->done = spec->done;
	op->data = spec->data;
	op->created_ms = clock_wall_ms();
	op->unit = "";
	op->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (failed || op->cancel_fd < 0) {
		op_free(op);
		return NULL;
	}
	return op;
}

static void list_append(struct ops *ops, struct op *op)
{
	op->prev = ops->last;
	if (ops->last)
		ops->last->next = op;
	else
		ops->first = op;
	ops->last = op;
	ops->count++;
}

static void list_remove(struct ops *ops, struct op *op)
{
	if (op->prev)
		op->prev->next = op->next;
	else
		ops->first = op->next;
	if (op->next)
		op->next->prev = op->prev;
	else
		ops->last = op->prev;
	op->prev = NULL;
	op->next = NULL;
	ops->count--;
}

static void queue_join(struct ops *ops, struct op *op)
{
	struct op *o = op->queue ? ops->last : NULL;

	while (o && (op_ended(o) || !o->queue || !streq(o->queue, op->queue)))
		o = o->prev;
	op->ahead = o;
	if (o)
		o->behind = op;
}

static void queue_leave(struct op *op)
{
	if (op->ahead)
		op->ahead->behind = op->behind;
	if (op->behind)
		op->behind->ahead = op->ahead;
	op->ahead = NULL;
	op->behind = NULL;
}

/* Only ended operations are forgotten, oldest first. */
static void forget_old(struct ops *ops)
{
	struct op *op = ops->first;

	while (op && ops->count > OPS_KEPT) {
		struct op *next = op->next;

		if (op_ended(op)) {
			list_remove(ops, op);
			op_unref(op);
		}
		op = next;
	}
}

/* --- workers --- */

static void run_undo(struct op *op)
{
	while (op->n_undo > 0) {
		op->n_undo--;
		op->undo[op->n_undo].fn(op->undo[op->n_undo].data);
	}
}

static void dispatch(struct ops *ops);

static void finish(struct op *op, enum op_state state)
{
	struct watch *w;

	op->state = state;
	op->ended_ms = clock_wall_ms();
	queue_leave(op);
	if (op->done)
		op->done(op, op->data);
	if (op->free_data)
		op->free_data(op->data);
	op->data = NULL;
	/* An ended operation is kept for a while, its descriptor is not. */
	close_keep_errno(op->cancel_fd);
	op->cancel_fd = -1;
	op_tell(op);
	while ((w = op->watches) != NULL) {
		op->watches = w->next;
		w->fn(op, w->data);
		free(w);
	}
	if (state == OP_FAILED)
		log_fields(LOG_WARN, "operation failed", "operation", op->id.s, "kind", op->kind,
			   "target", op->target, "error", op->error.msg, NULL);
	else
		log_fields(LOG_INFO, "operation ended", "operation", op->id.s, "kind", op->kind,
			   "target", op->target, "state", op_state_name(state), NULL);
}

/*
 * What a worker allocated (an archive's window, an image's list of files) would stay with its
 * thread's arena. Looking through the arenas costs a millisecond, so it is done when nothing runs,
 * and once a second at most.
 */
static void give_memory_back(struct ops *ops)
{
	int64_t now = clock_mono_us();

	if (now - ops->trimmed_us < TRIM_EVERY_US)
		return;
	ops->trimmed_us = now;
	(void)malloc_trim(0);
}

static void on_ended(void *data)
{
	struct op *op = data;
	struct ops *ops = op->ops;
	enum op_state state = OP_SUCCEEDED;

	ops->running--;
	if (op->run_result < 0) {
		op->error = op->run_error;
		state = op->error.code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED;
	}
	finish(op, state);
	op_unref(op);
	dispatch(ops);
	forget_old(ops);
	if (ops->running == 0)
		give_memory_back(ops);
}

static void work(struct op *op)
{
	struct error err = ERROR_INIT;
	int r;

	log_set_op(op->id.s);
	pthread_mutex_lock(&op->lock);
	op->start_us = clock_mono_us();
	pthread_mutex_unlock(&op->lock);
	r = op->run(op, op->data, &err);
	if (r < 0)
		run_undo(op);
	op_boundary(op, "end");
	pthread_mutex_lock(&op->lock);
	op->end_us = clock_mono_us();
	op_end_stage_locked(op, op->end_us);
	pthread_mutex_unlock(&op->lock);
	op->run_result = r;
	op->run_error = err;
	log_set_op("");
	/* ops_free() keeps the loop's queue open until the workers have ended, and drains it
	 * itself. */
	while (loop_post(op->ops->loop, on_ended, op) == -ENOMEM)
		(void)usleep(10000);
}

static void *worker(void *data)
{
	struct ops *ops = data;

	pthread_mutex_lock(&ops->lock);
	for (;;) {
		struct op *op;

		while (!ops->work_first && !ops->stop) {
			ops->idle++;
			pthread_cond_wait(&ops->more, &ops->lock);
			ops->idle--;
		}
		op = ops->work_first;
		if (!op)
			break;
		ops->work_first = op->next_work;
		if (!ops->work_first)
			ops->work_last = &ops->work_first;
		pthread_mutex_unlock(&ops->lock);
		work(op);
		pthread_mutex_lock(&ops->lock);
	}
	pthread_mutex_unlock(&ops->lock);
	return NULL;
}

static void hand_to_worker(struct ops *ops, struct op *op)
{
	bool need_thread;

	op->next_work = NULL;
	pthread_mutex_lock(&ops->lock);
	*ops->work_last = op;
	ops->work_last = &op->next_work;
	need_thread = ops->idle == 0;
	pthread_cond_signal(&ops->more);
	pthread_mutex_unlock(&ops->lock);
	if (need_thread && ops->n_threads < ops->max_threads &&
	    pthread_create(&ops->threads[ops->n_threads], NULL, worker, ops) == 0)
		ops->n_threads++;
}

static void dispatch(struct ops *ops)
{
	struct op *next;

	for (struct op *op = ops->first; op; op = next) {
		next = op->next;
		if (op->state != OP_QUEUED)
			continue;
		if (ops->running >= ops->max_threads)
			return;
		if (op->ahead)
			continue;
		op->state = OP_RUNNING;
		ops->waiting--;
		ops->running++;
		(void)op_ref(op);
		op_tell(op);
		hand_to_worker(ops, op);
	}
}

/* --- the loop's side --- */

int ops_new(struct loop *loop, unsigned int workers, struct ops **ret_ops)
{
	struct ops *ops = calloc(1, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	assert(workers > 0 && workers <= WORKERS_MAX);
	ops->loop = loop;
	ops->max_threads = workers;
	ops->work_last = &ops->work_first;
	pthread_mutex_init(&ops->lock, NULL);
	pthread_cond_init(&ops->more, NULL);
	*ret_ops = ops;
	return 0;
}

void ops_stop(struct ops *ops)
{
	struct op *next;

	for (struct op *op = ops->first; op; op = next) {
		next = op->next;
		if (!op_ended(op))
			op_cancel(op);
	}
}

bool ops_idle(const struct ops *ops)
{
	return ops->running == 0;
}

void ops_free(struct ops *ops)
{
	if (!ops)
		return;
	assert(ops_idle(ops));
	pthread_mutex_lock(&ops->lock);
	ops->stop = true;
	pthread_cond_broadcast(&ops->more);
	pthread_mutex_unlock(&ops->lock);
	for (unsigned int i = 0; i < ops->n_threads; i++)
		(void)pthread_join(ops->threads[i], NULL);
	while (ops->first) {
		struct op *op = ops->first;

		list_remove(ops, op);
		op_unref(op);
	}
	pthread_cond_destroy(&ops->more);
	pthread_mutex_destroy(&ops->lock);
	free(ops);
}

int ops_submit(struct ops *ops, const struct op_spec *spec, struct op **ret_op, struct error *err)
{
	bool full = ops->waiting >= OPS_WAITING_MAX;
	struct op *op = full ? NULL : op_new(ops, spec);

	if (!op) {
		int why = errno;

		if (spec->free_data)
			spec->free_data(spec->data);
		if (full)
			return error_set(
				err, ERR_UNAVAILABLE,
				"%d operations wait already; try again when some have ended",
				OPS_WAITING_MAX);
		return error_set(err, ERR_NO_ROOM, "no room for another operation: %s",
				 strerrordesc_np(why));
	}
	queue_join(ops, op);
	list_append(ops, op);
	ops->waiting++;
	*ret_op = op;
	op_tell(op);
	dispatch(ops);
	return 0;
}

struct op *ops_find(struct ops *ops, const char *id)
{
	for (struct op *op = ops->last; op; op = op->prev)
		if (streq(op->id.s, id))
			return op;
	return NULL;
}

void ops_each(struct ops *ops, ops_each_fn *fn, void *data)
{
	struct op *prev;

	for (struct op *op = ops->last; op; op = prev) {
		prev = op->prev;
		fn(op, data);
	}
}

void ops_cancel_queue(struct ops *ops, const char *queue)
{
	struct op *next;

	for (struct op *op = ops->first; op; op = next) {
		next = op->next;
		if (!op_ended(op) && op->queue && streq(op->queue, queue))
			op_cancel(op);
	}
}

void op_cancel(struct op *op)
{
	uint64_t one = 1;

	if (op_ended(op))
		return;
	__atomic_store_n(&op->cancelled, true, __ATOMIC_RELEASE);
	(void)!write(op->cancel_fd, &one, sizeof(one));
	if (op->state == OP_QUEUED) {
		op->ops->waiting--;
		(void)error_set(&op->error, ERR_CANCELLED, "cancelled before it began");
		finish(op, OP_CANCELLED);
	}
}

const char *op_id(const struct op *op)
{
	return op->id.s;
}

const char *op_kind(const struct op *op)
{
	return op->kind;
}

const char *op_target(const struct op *op)
{
	return op->target;
}

enum op_state op_get_state(const struct op *op)
{
	return op->state;
}

bool op_ended(const struct op *op)
{
	return op->state >= OP_SUCCEEDED;
}

const struct error *op_error(const struct op *op)
{
	return &op->error;
}

void *op_watch(struct op *op, op_watch_fn *fn, void *data)
{
	struct watch *w;

	if (op_ended(op)) {
		fn(op, data);
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	*w = (struct watch){ .next = op->watches, .fn = fn, .data = data };
	op->watches = w;
	return w;
}

void op_unwatch(struct op *op, void *token)
{
	for (struct watch **w = &op->watches; *w; w = &(*w)->next) {
		if (*w == token) {
			*w = (*w)->next;
			free(token);
			return;
		}
	}
}
