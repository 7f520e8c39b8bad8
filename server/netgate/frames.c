/* SPDX-License-Identifier: Apache-2.0 */
#include "server/netgate/frames.h"

#include <string.h>

enum {
	ETHERNET_HEADER = 14,
	ETHERTYPE_AT = 12,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	IPV4_HEADER = 20,
	IPV4_DESTINATION_AT = 16,
};

static bool address_may_pass(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && !(a[0] == 169 && a[1] == 254);
}

bool frame_may_pass(const uint8_t *frame, size_t len)
{
	unsigned type;

	if (len < ETHERNET_HEADER)
		return false;
	type = (unsigned)frame[ETHERTYPE_AT] << 8 | frame[ETHERTYPE_AT + 1];
	if (type == TYPE_ARP)
		return true;
	if (type != TYPE_IPV4 || len < ETHERNET_HEADER + IPV4_HEADER)
		return false;
	return frame[ETHERNET_HEADER] >> 4 == 4 &&
	       address_may_pass(frame + ETHERNET_HEADER + IPV4_DESTINATION_AT);
}

static uint32_t size_of(const uint8_t *head)
{
	return (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
}

void frames_count(struct frame_tally *t, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = len < t->left ? len : t->left;

		if (n == 0) {
			t->head[t->head_len++] = *data;
			n = 1;
		} else {
			t->left -= (uint32_t)n;
		}
		data += n;
		len -= n;
		if (t->head_len == FRAME_HEADER) {
			t->head_len = 0;
			t->left = size_of(t->head);
			t->bytes += t->left;
			t->frames++;
		}
	}
}

bool frames_filter(uint8_t *data, size_t len, size_t *ret_keep, size_t *ret_taken)
{
	size_t keep = 0;
	size_t at = 0;

	while (len - at >= FRAME_HEADER) {
		const uint8_t *p = data + at;
		size_t size = size_of(p);

		if (size == 0 || size > FRAME_MAX)
			return false;
		if (len - at - FRAME_HEADER < size)
			break;
		size += FRAME_HEADER;
		if (frame_may_pass(p + FRAME_HEADER, size - FRAME_HEADER)) {
			memmove(data + keep, p, size);
			keep += size;
		}
		at += size;
	}
	*ret_keep = keep;
	*ret_taken = at;
	return true;
}
