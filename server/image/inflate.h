/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of one blob (gzip, xz, zstd, lz4 in both of its formats) through libarchive. */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

/* Takes a piece of the output. Returns 0 or a negative errno with err set. */
typedef int inflate_sink(void *data, const void *bytes, size_t len, struct error *err);

/*
 * Feeds the decompressed bytes to `sink`; stops without error once `out_len` have come (UINT64_MAX:
 * at the end of the input). More than `out_max` is ERR_TOO_LARGE. What is not compressed passes
 * through.
 */
int inflate_bytes(const void *in, size_t in_len, uint64_t out_len, uint64_t out_max,
		  inflate_sink *sink, void *data, struct error *err) MUST_USE;

/* A sink that writes to the descriptor `*(int *)data`. */
int inflate_to_fd(void *data, const void *bytes, size_t len, struct error *err);
/* A sink that appends to `struct buf`. */
int inflate_to_buf(void *data, const void *bytes, size_t len, struct error *err);
