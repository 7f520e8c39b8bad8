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

bool frames_filter(uint8_t *data, size_t len, size_t *ret_keep, size_t *ret_taken)
{
	size_t keep = 0;
	size_t at = 0;

	while (len - at >= FRAME_HEADER) {
		const uint8_t *p = data + at;
		size_t size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

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
