/* SPDX-License-Identifier: Apache-2.0 */
/* The reply of a guest's HTTP server, in pieces: nothing is read beyond the input, what comes out
 * is a part of it, and its head can be handed on as a head. */
#include <assert.h>
#include <string.h>

#include "server/http/upstream.h"
#include "tests/fuzz/fuzz.h"

static void check_head(const struct upstream *u)
{
	assert(u->status >= 100 && u->status < 600 && u->n_fields <= UPSTREAM_FIELDS_MAX);
	for (size_t i = 0; i < u->n_fields; i++) {
		assert(u->fields[i].name[0] && !strpbrk(u->fields[i].name, " :\r\n"));
		assert(!strpbrk(u->fields[i].value, "\r\n"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upstream u;
	struct error err;
	size_t step = size ? data[0] % 16U + 1U : 1U;
	int event = UPSTREAM_MORE;

	upstream_init(&u, size > 1 && data[1] & 1, size > 1 && data[1] & 2);
	for (size_t at = 2; at < size && event == UPSTREAM_MORE; at += step) {
		const uint8_t *bytes = data + at;
		size_t len = size - at < step ? size - at : step;
		const uint8_t *piece = NULL;
		size_t n = 0;

		do {
			event = upstream_next(&u, &bytes, &len, &piece, &n, &err);
			assert(bytes + len <= data + size);
			if (event == UPSTREAM_HEAD)
				check_head(&u);
			if (event == UPSTREAM_BODY)
				assert(n > 0 && piece >= data + at && piece + n <= bytes);
		} while (event == UPSTREAM_HEAD || event == UPSTREAM_BODY);
		assert(event < 0 || event == UPSTREAM_END || len == 0);
	}
	upstream_done(&u);
	return 0;
}
