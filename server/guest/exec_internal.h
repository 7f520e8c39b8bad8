/* SPDX-License-Identifier: Apache-2.0 */
/* What exec.c and exec_frames.c share. */
#pragma once

#include "lib/base/buf.h"
#include "lib/link/frame.h"
#include "server/guest/internal.h"

struct guest_exec {
	struct guest_exec *next;
	struct guest *guest;
	char id[LINK_EXEC_ID_MAX + 1];
	struct guest_exec_callbacks callbacks;
	void *data;
	char *start;                /* the START document until it has started; NULL: attach */
	struct loop_timer *limit;   /* until it has started */
	struct link_stream *stream; /* NULL: the link is down */
	struct link_decoder decoder;
	bool joined;  /* STDIN_ACK has come: the agent's view of the input is known */
	bool leaving; /* the owner is done with it */
	bool later;   /* it has ended: RELEASE waits for the next start or for the timer */
	bool left;    /* RELEASE is on its way */
	bool paused;
	bool busy; /* frames are being worked on … */
	bool dead; /* … and it is to be freed after them */

	uint64_t offset; /* of the output to come next */
	uint64_t acked;
	struct buf held; /* frames that came while paused */
	bool broken;     /* what came after them makes no sense */

	struct buf in; /* input that the agent has not confirmed; its first byte has in_base */
	uint64_t in_base;
	bool in_known; /* in_base is; not before the agent has said it of an exec that is taken up
			*/
	uint64_t in_sent;
	uint64_t in_written; /* bytes that the program has taken */
	bool in_end;
	bool in_end_sent;
	bool want_input;

	uint64_t signals; /* bit n: signal n is to be sent */
	unsigned int rejoins;
	bool resize;
	uint16_t rows;
	uint16_t cols;
};

/* --- exec.c --- */

/* Sends what there is to send, as far as it goes. */
void exec_push(struct guest_exec *exec);
/*
 * Tells the owner the end. `known`: the agent has something to forget, but not before the owner has
 * had the time to write the end down; the caller is at work on the exec then, so it can't be freed.
 */
void exec_finish(struct guest_exec *exec, const struct guest_exec_end *end, bool known);

/* Bytes of the agent; `exec` is a struct guest_exec, as in struct link_stream_ops. False: it wants
 * no more for now. It may be gone when this returns. */
bool exec_take(void *exec, const uint8_t *bytes, size_t len);

/* --- exec_frames.c --- */

/* One frame of the agent. 0, or a negative errno when it makes no sense. */
int exec_take_frame(struct guest_exec *exec, uint8_t type, const uint8_t *payload, size_t len);
