/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: work that takes longer than a handler may. An operation is a plain sequential
 * function on a worker thread, with named stages, progress, cancellation, an undo list and an id
 * that runs through logs, events, errors and the helper.
 *
 * Threads: ops_*() and op_ref()/op_unref() belong to the loop's thread, except where a comment says
 * "worker". Operations that share a queue key (one VM, one image name) run one after the other, in
 * order of submission.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/id.h"
#include "lib/loop/loop.h"

struct ops;
struct op;

enum op_state { OP_QUEUED, OP_RUNNING, OP_SUCCEEDED, OP_FAILED, OP_CANCELLED, OP_STATE_MAX_ };
const char *op_state_name(enum op_state state);

enum { OP_STAGES_MAX = 32, OP_UNDO_MAX = 32, OP_PARTS_MAX = 128, OP_PART_NAME_MAX = 23 };

struct op_stage {
	char name[32];
	int64_t start_us; /* since the operation's start */
	int64_t end_us;   /* 0 while under way */
};

/* Runs on a worker. 0 is success; else err is set, and the undo list runs in reverse. */
typedef int op_run_fn(struct op *op, void *data, struct error *err);
typedef void op_data_fn(void *data);
/* On the loop's thread, once, when the operation has ended. */
typedef void op_done_fn(struct op *op, void *data);

struct op_spec {
	const char *kind;        /* "vm.create": a word of ours, static */
	const char *target;      /* id of what it works on; "" for none */
	const char *target_name; /* for people; may be NULL */
	const char *queue;       /* key of the queue; NULL: no order */
	const char *request_by;  /* who asked, for the audit; may be NULL */
	op_run_fn *run;
	op_data_fn *free_data; /* on the loop's thread, after done; may be NULL */
	op_done_fn *done;      /* may be NULL */
	void *data;
};

/* Called on the loop's thread at each change that is worth telling: queued, started, a new stage,
 * ended. */
typedef void ops_listener_fn(struct op *op, void *data);

int ops_new(struct loop *loop, unsigned int workers, struct ops **ret_ops) MUST_USE;
/* One listener; NULL takes it away. */
void ops_set_listener(struct ops *ops, ops_listener_fn *fn, void *data);
/* Tests of crashes: called on the worker at every stage boundary. NULL takes it away. */
typedef void ops_boundary_fn(const char *kind, const char *stage);
void ops_set_boundary(ops_boundary_fn *fn);
/* Asks every operation to end. The loop runs on until ops_idle(). */
void ops_stop(struct ops *ops);
/* No worker is busy. */
bool ops_idle(const struct ops *ops);
/* After ops_idle() only. NULL is fine. */
void ops_free(struct ops *ops);

/* Takes over spec->data, also on failure. *ret_op is borrowed; take op_ref() to keep it. */
int ops_submit(struct ops *ops, const struct op_spec *spec, struct op **ret_op,
	       struct error *err) MUST_USE;

struct op *ops_find(struct ops *ops, const char *id);
typedef void ops_each_fn(struct op *op, void *data);
/* Newest first. */
void ops_each(struct ops *ops, ops_each_fn *fn, void *data);
/* Asks every operation of a queue to end, queued ones included. */
void ops_cancel_queue(struct ops *ops, const char *queue);

struct op *op_ref(struct op *op);
void op_unref(struct op *op);

const char *op_id(const struct op *op); /* any thread */
const char *op_kind(const struct op *op);
const char *op_target(const struct op *op);
enum op_state op_get_state(const struct op *op);
bool op_ended(const struct op *op);
/* Error of a failed or cancelled operation. */
const struct error *op_error(const struct op *op);
/* The API's view of it without its error, whose form is the HTTP layer's business; new reference.
 */
json_t *op_to_json(struct op *op);
/* Asks it to end. */
void op_cancel(struct op *op);
/* Calls fn(op, data) once when it has ended (at once if it has). Returns a token for op_unwatch().
 */
typedef void op_watch_fn(struct op *op, void *data);
void *op_watch(struct op *op, op_watch_fn *fn, void *data);
void op_unwatch(struct op *op, void *token);

/* --- worker --- */

/* Ends the stage under way and begins the next. Also a boundary where cancellation and fault tests
 * act. */
void op_stage(struct op *op, const char *name);
/* `total` 0: not known. `unit` is "bytes" or another plural noun, static. */
void op_progress(struct op *op, uint64_t done, uint64_t total, const char *unit);
/* One of several things that the stage under way works on side by side, in the unit of
 * op_progress(); `name` is cut to OP_PART_NAME_MAX. Parts beyond OP_PARTS_MAX are not shown. */
void op_part(struct op *op, size_t index, const char *name, uint64_t done, uint64_t total);
/* 0, or -ECANCELED with err set. */
int op_check(struct op *op, struct error *err) MUST_USE;
/* Readable once cancelled: for poll(2) and proc_run. */
int op_cancel_fd(const struct op *op);
/* Takes the flock(2) of an open file, which another operation or program may hold; waits until then
 * or until the operation is cancelled. */
int op_lock_file(struct op *op, int fd, struct error *err) MUST_USE;
/* What undoes the step just done, should a later one fail. */
void op_undo(struct op *op, void (*fn)(void *data), void *data);
/* The result shown in the operation; steals the reference. */
void op_set_result(struct op *op, json_t *result);
