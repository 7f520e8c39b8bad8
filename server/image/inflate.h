/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of one file or a part of it (gzip, xz, zstd, lz4 in both of its formats), which
 * banger-unpack does for us. */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "server/image/unpacker.h"

/* Takes a piece of the output. Returns 0 or a negative errno with err set. */
typedef int inflate_sink(void *data, const void *bytes, size_t len, struct error *err);

/* What is to be decompressed, and how much may come of it. */
struct inflate {
	int fd; /* of a file; its offset does not matter */
	uint64_t at;
	uint64_t len;
	uint64_t out_len; /* bytes that are in it, and no more are taken; UINT64_MAX: all */
	uint64_t out_max; /* more are ERR_TOO_LARGE */
};

/* Feeds the decompressed bytes to `sink`. What is not compressed passes through. `u` was started
 * with UNPACK_FILES. */
int inflate(const struct unpacker *u, const struct inflate *what, inflate_sink *sink, void *data,
	    struct error *err) MUST_USE;

/* A sink that writes to the descriptor `*(int *)data`. */
int inflate_to_fd(void *data, const void *bytes, size_t len, struct error *err);
/* A sink that appends to `struct buf`. */
int inflate_to_buf(void *data, const void *bytes, size_t len, struct error *err);
