/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of exec streams (see protocol.h): type, length, payload. The decoder keeps at most one
 * frame; the encoder appends to a buffer whole frames only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/link/protocol.h"

enum { LINK_FRAME_HEADER = 5 };

struct link_decoder {
	struct buf held; /* start of a frame whose rest has not come yet */
};

/* `payload` is borrowed for the call. A negative errno ends the decoding. */
typedef int link_frame_fn(void *data, uint8_t type, const uint8_t *payload, size_t len);

void link_decoder_init(struct link_decoder *decoder);
void link_decoder_done(struct link_decoder *decoder);

/*
 * Takes all bytes and calls fn for each frame completed. Returns 0, -EMSGSIZE for a frame beyond
 * LINK_EXEC_FRAME_MAX, -ENOMEM, or what fn returned. fn may call link_decoder_done() only together
 * with returning an error.
 */
int link_decoder_feed(struct link_decoder *decoder, const void *bytes, size_t len,
		      link_frame_fn *fn, void *data) MUST_USE;

/* Appends a frame whose payload is `a` and then `b`. -ENOBUFS when the buffer has no room. */
int link_frame_append(struct buf *out, uint8_t type, const void *a, size_t a_len, const void *b,
		      size_t b_len) MUST_USE;

/* Big endian numbers. */
void link_put_u16(uint8_t *p, uint16_t v);
void link_put_u32(uint8_t *p, uint32_t v);
void link_put_u64(uint8_t *p, uint64_t v);
uint16_t link_get_u16(const uint8_t *p);
uint32_t link_get_u32(const uint8_t *p);
uint64_t link_get_u64(const uint8_t *p);
