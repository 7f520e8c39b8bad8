/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that runs, or has run, for the host. exec.c is its life and its pipes; exec_start.c
 * turns a START document into a process; exec_stream.c is the conversation with the host, which
 * may break off and be taken up again at any time.
 */
#pragma once

#include "agent/service/output.h"
#include "agent/service/service.h"
#include "lib/link/frame.h"
#include "lib/link/protocol.h"

struct exec_talk;

struct exec_pipe {
	int fd; /* -1: closed */
	bool is_stderr;
	struct loop_fd *source; /* NULL: not watched, because the output is full or the fd closed */
	struct exec *exec;
};

struct exec {
	struct exec *next;
	struct agent *agent;
	char id[LINK_EXEC_ID_MAX + 1];
	pid_t pid;
	bool running;
	bool ended;    /* the program has ended and all of its output is in `output` */
	bool released; /* the host wants no more of it; freed once the program has ended */
	bool timed_out;
	bool tty;
	int status;             /* of waitpid(2) */
	struct exec_talk *talk; /* the stream that is attached; NULL for none */

	struct exec_pipe out;
	struct exec_pipe err;
	struct output output;

	int in_fd; /* -1: closed */
	struct loop_fd *in_source;
	struct buf in; /* received, not yet given to the program */
	uint64_t in_received;
	uint64_t in_written;
	bool in_end; /* close it when `in` is empty */

	struct loop_timer *limit;  /* the time limit, then the time from TERM to KILL */
	struct loop_timer *linger; /* for output of programs that it has left behind */
};

/* --- exec.c --- */

struct exec *exec_find(const struct agent *agent, const char *id);
/* An empty one that is in the agent's list. NULL: out of memory, or too many. */
struct exec *exec_new(struct agent *agent, const char *id);
/* The process is there: watches its pipes and its end. */
int exec_begin(struct exec *exec, uint32_t timeout_ms) MUST_USE;
/* Kills what runs and forgets all. */
void exec_release(struct exec *exec);
void exec_free(struct exec *exec);

/* Bytes for the program: -EMSGSIZE beyond the window, 0 otherwise (dropped when it has closed its
 * input). */
int exec_input(struct exec *exec, uint64_t offset, const uint8_t *bytes, size_t len) MUST_USE;
void exec_input_end(struct exec *exec);
int exec_ack(struct exec *exec, uint64_t offset) MUST_USE;
void exec_signal(struct exec *exec, int sig);
void exec_resize(struct exec *exec, uint16_t rows, uint16_t cols);

/* --- exec_start.c --- */

/* Starts what the START document asks for. */
int exec_start(struct agent *agent, const char *id, const char *text, size_t len,
	       struct exec **ret_exec, struct error *err) MUST_USE;

/* --- exec_stream.c --- */

/* There is something new to tell: output, input taken, the end. */
void exec_talk_push(struct exec_talk *talk);
/* The exec goes away under the stream. */
void exec_talk_end(struct exec_talk *talk);
