/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a hard limit. Bytes are appended at the end and consumed from the
 * front. Functions return 0, -ENOMEM, or -ENOBUFS when the limit would be passed (nothing is
 * appended then).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"

struct buf {
	uint8_t *data; /* first unread byte is data[start] */
	size_t start;
	size_t end;
	size_t cap;
	size_t max;
};

/* Empty, allocates nothing; `max` is the most unread bytes that it will ever hold. */
void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);

int buf_append(struct buf *b, const void *data, size_t len) MUST_USE;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Room for `len` bytes at the end: write there, then buf_commit() what was written. NULL as for
 * append. */
uint8_t *buf_reserve(struct buf *b, size_t len) MUST_USE;
void buf_commit(struct buf *b, size_t len);

/* Drops `len` bytes from the front. Memory is given back when the buffer becomes empty and is
 * large. */
void buf_consume(struct buf *b, size_t len);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline uint8_t *buf_bytes(const struct buf *b)
{
	return b->data + b->start;
}
