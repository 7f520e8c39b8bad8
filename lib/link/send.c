/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/send.h"

#include <assert.h>

enum { HEAD_MAX = 16 };

bool link_send_frame(struct link_stream *stream, uint8_t type, const void *a, size_t a_len,
		     const void *b, size_t b_len)
{
	uint8_t head[LINK_FRAME_HEADER + HEAD_MAX];

	assert(a_len <= HEAD_MAX);
	if (link_stream_room(stream) < LINK_FRAME_HEADER + a_len + b_len) {
		link_stream_want_room(stream);
		return false;
	}
	head[0] = type;
	link_put_u32(head + 1, (uint32_t)(a_len + b_len));
	if (a_len > 0)
		memcpy(head + LINK_FRAME_HEADER, a, a_len);
	(void)link_stream_write(stream, head, LINK_FRAME_HEADER + a_len);
	if (b_len > 0)
		(void)link_stream_write(stream, b, b_len);
	return true;
}
