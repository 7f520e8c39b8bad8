/* SPDX-License-Identifier: Apache-2.0 */
/* Exec frames: what is decoded, and whether it fails, does not depend on how the bytes were cut. */
#include <assert.h>

#include "lib/link/frame.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	size_t n;
	uint64_t sum;
};

static int note(void *data, uint8_t type, const uint8_t *payload, size_t len)
{
	struct seen *seen = data;

	assert(len <= LINK_EXEC_FRAME_MAX);
	seen->n++;
	seen->sum = seen->sum * 31 + type;
	for (size_t i = 0; i < len; i++)
		seen->sum = seen->sum * 31 + payload[i];
	return type == 0xff ? -1 : 0;
}

static int decode(const uint8_t *data, size_t size, size_t step, struct seen *ret_seen)
{
	struct link_decoder decoder;
	int r = 0;

	*ret_seen = (struct seen){ .n = 0 };
	link_decoder_init(&decoder);
	for (size_t at = 0; at < size && r == 0; at += step)
		r = link_decoder_feed(&decoder, data + at, size - at < step ? size - at : step,
				      note, ret_seen);
	link_decoder_done(&decoder);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole;
	struct seen cut;
	int r = decode(data, size, size + 1, &whole);

	assert(decode(data, size, 1 + (size > 0 ? data[0] % 7U : 0), &cut) == r);
	assert(whole.n == cut.n && whole.sum == cut.sum);
	return 0;
}
