/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between the agent's loop and a thread, or a process that it has forked, one way, without a
 * copy in between: memory that both have, and a pair of sockets on which each wakes the other.
 * Either side may be the writer. A side sleeps only when it can do nothing, and is woken when there
 * is much to do: each change of the process that runs costs as much as copying many kilobytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"
#include "lib/link/protocol.h"

enum {
	RING_SIZE = 1024 * 1024,
	RING_SLOT = LINK_FRAME_MAX_HOST, /* with its header, one frame of the link */
};

struct ring {
	struct ring_memory *memory; /* NULL: none */
	int bell;                   /* readable when the other side has rung, or has gone */
};

/*
 * For both sides; *ret_bell is for the other one, blocking. The agent's does not block. With `gap`
 * each slot begins with so many bytes of the reader's, and so many before whatever is unread of a
 * slot are his too.
 */
int ring_new(struct ring *ring, size_t gap, int *ret_bell) MUST_USE;
void ring_done(struct ring *ring);

/* Bytes to read at *ret_bytes, in one piece. They stay there until ring_read(). */
size_t ring_bytes(const struct ring *ring, uint8_t **ret_bytes);
/* So many of them have been read. */
void ring_read(struct ring *ring, size_t len);
/* Nothing more will come, and all has been read. */
bool ring_is_over(const struct ring *ring);

/* Bytes that fit, in all, gaps included. */
size_t ring_room(const struct ring *ring);
/* Memory for some at *ret_bytes, in one piece. */
size_t ring_space(const struct ring *ring, uint8_t **ret_bytes);
/* So many of them are there. */
void ring_written(struct ring *ring, size_t len);
/* Nothing more comes. */
void ring_end(struct ring *ring);

/* Agent: asks to be rung when there are bytes (or the end), or room. False: there are already. */
bool ring_want_bytes(struct ring *ring);
bool ring_want_room(struct ring *ring, size_t room);
/* Takes what has been rung; false when the other side has gone. */
bool ring_answer(struct ring *ring);
/* The other side is waited for no more: where it would wait, it is told -EPIPE. */
void ring_hang_up(struct ring *ring);

/* Thread or process: waits until there are bytes or the end; until there is room. 0 or a negative
 * errno. */
int ring_await_bytes(struct ring *ring) MUST_USE;
int ring_await_room(struct ring *ring) MUST_USE;
