/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/commit_line.h"

#include <stdbool.h>

enum { SHA1_NAME = 40 };

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

size_t commit_line_feed(struct commit_line *line, const char *bytes, size_t len)
{
	size_t n = 0;

	if (line->state == COMMIT_LINE_DONE)
		return 0;
	for (; line->state == COMMIT_LINE_OPEN && n < len && bytes[n] != '\n'; n++) {
		if (!is_hex(bytes[n]) || line->len == COMMIT_NAME_MAX)
			line->state = COMMIT_LINE_BAD;
		else
			line->name[line->len++] = bytes[n];
	}
	if (line->state == COMMIT_LINE_BAD || n == len)
		return len;
	if (line->len != SHA1_NAME && line->len != COMMIT_NAME_MAX) {
		line->state = COMMIT_LINE_BAD;
		return len;
	}
	line->state = COMMIT_LINE_DONE;
	return n + 1;
}
