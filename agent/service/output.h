/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's output that the host has not acknowledged yet: bytes of both streams in the order
 * in which they were read, with one offset. At most LINK_EXEC_OUTPUT_MAX bytes and
 * OUTPUT_PIECES_MAX changes from one stream to the other.
 */
#pragma once

#include <stdint.h>

#include "lib/base/buf.h"

enum { OUTPUT_PIECES_MAX = 4096 };

struct output_piece {
	uint64_t end; /* offset behind its last byte */
	bool is_stderr;
};

struct output {
	struct buf bytes;
	uint64_t base; /* offset of the first byte kept */
	struct output_piece *pieces;
	size_t first;
	size_t n;
	size_t cap;
};

void output_init(struct output *o);
void output_done(struct output *o);

/* Offset behind the last byte. */
uint64_t output_end(const struct output *o);

/* How many bytes of a stream could be added now. */
size_t output_room(const struct output *o, bool is_stderr);

/* Room for `len` bytes, no more than output_room(); output_added() then says how many came. NULL:
 * out of memory. */
uint8_t *output_reserve(struct output *o, size_t len, bool is_stderr) MUST_USE;
void output_added(struct output *o, size_t len, bool is_stderr);

/* The bytes from `offset` (between base and end) that belong to one stream: at most `max`. */
size_t output_peek(const struct output *o, uint64_t offset, size_t max, const uint8_t **ret_bytes,
		   bool *ret_is_stderr);

/* Drops what is below `offset`; -ERANGE when that was never written. */
int output_drop(struct output *o, uint64_t offset) MUST_USE;
