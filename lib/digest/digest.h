/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 over streams, files and buffers, as lower-case hexadecimal text. Functions return 0 or a
 * negative errno (-EIO: libcrypto failed). Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/macro.h"

enum { DIGEST_HEX = 64 };

struct digest {
	char hex[DIGEST_HEX + 1];
};

struct digest_stream {
	void *ctx; /* libcrypto's; NULL before digest_start() and after digest_finish() */
};

#define DIGEST_STREAM_INIT ((struct digest_stream){ .ctx = NULL })

int digest_start(struct digest_stream *stream) MUST_USE;
int digest_update(struct digest_stream *stream, const void *data, size_t len) MUST_USE;
/* Ends the stream and releases it. */
int digest_finish(struct digest_stream *stream, struct digest *ret_digest) MUST_USE;
void digest_abandon(struct digest_stream *stream);

int digest_bytes(const void *data, size_t len, struct digest *ret_digest) MUST_USE;
/* From the file's first byte to its end; the descriptor's offset is not used. */
int digest_file(int fd, struct digest *ret_digest) MUST_USE;

/*
 * Of a file with holes: its length and what it holds, whether zeros are holes or not, so that a
 * copy has the same digest on every file system.
 */
int digest_sparse(int fd, struct digest *ret_digest) MUST_USE;

/* True for exactly 64 lower-case hexadecimal digits. */
bool digest_hex_valid(const char *s);
