/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that works for an operation: it runs in a session of its own, is watched for progress,
 * and ends with everything that it has started when the operation is cancelled.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/proc/proc.h"
#include "server/ops/op.h"

/* Called about four times a second while the program runs: reports progress, and ends it by
 * returning an error. */
typedef int task_tick_fn(void *data, struct error *err);

struct task {
	const char *const *argv; /* argv[0] is an absolute path; ended by NULL */
	const char *const *env;  /* NULL: as of proc_spawn() */
	int stdin_fd;            /* -1: /dev/null */
	int stdout_fd;           /* -1: with standard error, into the log */
	int timeout_s;
	task_tick_fn *tick; /* may be NULL */
	void *tick_data;
};

#define TASK_INIT ((struct task){ .stdin_fd = -1, .stdout_fd = -1, .timeout_s = 600 })

/* Runs to the end. An exit status other than 0 is an error that quotes the last lines of the log.
 */
int task_run(const struct task *task, struct op *op, struct error *err) MUST_USE;

/* The same in two halves, for a program that the caller feeds meanwhile. */
struct task_running {
	struct proc proc;
	int log_fd;
	const char *program; /* borrowed */
};

#define TASK_RUNNING_INIT ((struct task_running){ .proc = PROC_INIT, .log_fd = -1 })

int task_start(const struct task *task, struct task_running *ret_running,
	       struct error *err) MUST_USE;
/*
 * Calls `fn` with each line that has come to the file since the last call, without its end; one of
 * more than 4 KiB comes in pieces.
 */
struct lines {
	int fd; /* borrowed */
	off_t at;
};
typedef void line_fn(void *data, const char *line);
void lines_follow(struct lines *lines, line_fn *fn, void *data);

/* Waits for the end; the descriptors that feed it must be closed by then. */
int task_finish(struct task_running *running, const struct task *task, struct op *op,
		struct error *err) MUST_USE;
/* Kills what still runs. */
void task_abandon(struct task_running *running);
