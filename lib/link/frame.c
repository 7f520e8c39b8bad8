/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/frame.h"

#include <errno.h>

void link_put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void link_put_u32(uint8_t *p, uint32_t v)
{
	link_put_u16(p, (uint16_t)(v >> 16));
	link_put_u16(p + 2, (uint16_t)v);
}

void link_put_u64(uint8_t *p, uint64_t v)
{
	link_put_u32(p, (uint32_t)(v >> 32));
	link_put_u32(p + 4, (uint32_t)v);
}

uint16_t link_get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t link_get_u32(const uint8_t *p)
{
	return (uint32_t)link_get_u16(p) << 16 | link_get_u16(p + 2);
}

uint64_t link_get_u64(const uint8_t *p)
{
	return (uint64_t)link_get_u32(p) << 32 | link_get_u32(p + 4);
}

void link_decoder_init(struct link_decoder *decoder)
{
	buf_init(&decoder->held, LINK_FRAME_HEADER + LINK_EXEC_FRAME_MAX);
}

void link_decoder_done(struct link_decoder *decoder)
{
	buf_done(&decoder->held);
}

/*
 * Gives out the whole frames at the front. Returns how many bytes they were, with *ret_need the
 * size of the frame that comes next (the header's size while that is not known), or an error.
 */
static int64_t take_frames(const uint8_t *p, size_t len, link_frame_fn *fn, void *data,
			   size_t *ret_need)
{
	size_t at = 0;

	for (;;) {
		uint32_t payload;
		int r;

		*ret_need = LINK_FRAME_HEADER;
		if (len - at < LINK_FRAME_HEADER)
			return (int64_t)at;
		payload = link_get_u32(p + at + 1);
		if (payload > LINK_EXEC_FRAME_MAX)
			return -EMSGSIZE;
		*ret_need = LINK_FRAME_HEADER + payload;
		if (len - at < *ret_need)
			return (int64_t)at;
		r = fn(data, p[at], p + at + LINK_FRAME_HEADER, payload);
		if (r < 0)
			return r;
		at += LINK_FRAME_HEADER + payload;
	}
}

/* Completes the held frame first, byte-exactly, so that all others are read in place. */
int link_decoder_feed(struct link_decoder *decoder, const void *bytes, size_t len,
		      link_frame_fn *fn, void *data)
{
	const uint8_t *p = bytes;
	size_t need = LINK_FRAME_HEADER;
	int64_t taken;

	while (buf_len(&decoder->held) > 0 && len > 0) {
		size_t held = buf_len(&decoder->held);
		size_t more;
		int r;

		if (held >= LINK_FRAME_HEADER)
			need = LINK_FRAME_HEADER + link_get_u32(buf_bytes(&decoder->held) + 1);
		more = need - held < len ? need - held : len;
		r = buf_append(&decoder->held, p, more);
		if (r < 0)
			return r;
		p += more;
		len -= more;
		taken = take_frames(buf_bytes(&decoder->held), buf_len(&decoder->held), fn, data,
				    &need);
		if (taken < 0)
			return (int)taken;
		buf_consume(&decoder->held, (size_t)taken);
	}
	if (len == 0)
		return 0;
	taken = take_frames(p, len, fn, data, &need);
	if (taken < 0)
		return (int)taken;
	return buf_append(&decoder->held, p + taken, len - (size_t)taken);
}

int link_frame_append(struct buf *out, uint8_t type, const void *a, size_t a_len, const void *b,
		      size_t b_len)
{
	size_t len = a_len + b_len;
	uint8_t *p = buf_reserve(out, LINK_FRAME_HEADER + len);

	if (!p)
		return buf_len(out) + LINK_FRAME_HEADER + len > out->max ? -ENOBUFS : -ENOMEM;
	p[0] = type;
	link_put_u32(p + 1, (uint32_t)len);
	if (a_len > 0)
		memcpy(p + LINK_FRAME_HEADER, a, a_len);
	if (b_len > 0)
		memcpy(p + LINK_FRAME_HEADER + a_len, b, b_len);
	buf_commit(out, LINK_FRAME_HEADER + len);
	return 0;
}
