/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's stream of frames. What is kept are whole frames in their order, each of which may pass
 * by itself; a stream that is cut in two gives the same.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "server/netgate/frames.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 16 * 1024 };

static void check_kept(const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint32_t size;

		assert(len - at >= FRAME_HEADER);
		memcpy(&size, data + at, sizeof(size));
		size = ntohl(size);
		assert(size <= FRAME_MAX && len - at - FRAME_HEADER >= size);
		assert(frame_may_pass(data + at + FRAME_HEADER, size));
		at += FRAME_HEADER + size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole[INPUT_MAX];
	static uint8_t part[INPUT_MAX];
	size_t keep = 0;
	size_t taken = 0;
	size_t part_keep = 0;
	size_t part_taken = 0;

	if (size > INPUT_MAX)
		return 0;
	(void)frame_may_pass(data, size);
	memcpy(whole, data, size);
	if (!frames_filter(whole, size, &keep, &taken))
		return 0;
	assert(keep <= taken && taken <= size);
	check_kept(whole, keep);
	memcpy(part, data, size / 2);
	assert(frames_filter(part, size / 2, &part_keep, &part_taken));
	assert(part_keep <= keep && part_taken <= taken);
	assert(memcmp(part, whole, part_keep) == 0);
	return 0;
}
