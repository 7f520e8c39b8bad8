/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes before a handshake: the lines that are found do not depend on how the bytes were cut. */
#include <assert.h>
#include <string.h>

#include "lib/link/handshake.h"
#include "tests/fuzz/fuzz.h"

struct found {
	size_t n;
	uint64_t sum;
};

static void scan(const uint8_t *data, size_t size, size_t step, struct found *ret_found)
{
	struct link_scan s;

	*ret_found = (struct found){ .n = 0 };
	link_scan_init(&s);
	for (size_t at = 0; at < size;) {
		size_t len = size - at < step ? size - at : step;
		const char *line;
		size_t taken = link_scan_feed(&s, data + at, len, &line);

		assert(taken > 0 && taken <= len && (line || taken == len));
		at += taken;
		if (!line)
			continue;
		assert(str_has_prefix(line, LINK_HELLO) && strlen(line) < LINK_LINE_MAX);
		ret_found->n++;
		for (const char *p = line; *p; p++)
			ret_found->sum = ret_found->sum * 31 + (uint8_t)*p;
		(void)link_hello_nonce(line);
		(void)link_hello_answer(line, "00000000000000000000000000000000");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct found whole;
	struct found cut;

	scan(data, size, size + 1, &whole);
	scan(data, size, 1 + (size > 0 ? data[0] % 7U : 0), &cut);
	assert(whole.n == cut.n && whole.sum == cut.sum);
	return 0;
}
