/* SPDX-License-Identifier: Apache-2.0 */
/* The first line of a guest's patch: the same however it is cut, and a name of a commit or nothing.
 */
#include <assert.h>
#include <string.h>

#include "server/api/commit_line.h"
#include "tests/fuzz/fuzz.h"

static size_t feed(const uint8_t *data, size_t size, size_t step, struct commit_line *line)
{
	size_t taken = 0;

	*line = (struct commit_line){ .len = 0 };
	for (size_t at = 0; at < size && line->state != COMMIT_LINE_DONE; at += step) {
		size_t len = size - at < step ? size - at : step;
		size_t n = commit_line_feed(line, (const char *)data + at, len);

		assert(n <= len);
		assert(n == len || line->state == COMMIT_LINE_DONE);
		taken += n;
	}
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct commit_line whole;
	struct commit_line cut;
	size_t taken = feed(data, size, size + 1, &whole);

	assert(feed(data, size, 1 + (size > 0 ? data[0] % 7U : 0), &cut) == taken);
	assert(cut.state == whole.state);
	if (whole.state != COMMIT_LINE_DONE)
		return 0;
	assert(strcmp(whole.name, cut.name) == 0);
	assert(strlen(whole.name) == 40 || strlen(whole.name) == COMMIT_NAME_MAX);
	assert(strspn(whole.name, "0123456789abcdef") == strlen(whole.name));
	assert(taken == strlen(whole.name) + 1 && data[taken - 1] == '\n');
	return 0;
}
