/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serial console output on its way to standard output. A guest may write anything, also sequences
 * that make a terminal answer or run; on a terminal only text, line breaks and colours get through.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { CONSOLE_SEQUENCE_MAX = 32 };

struct console {
	bool filter;
	char sequence[CONSOLE_SEQUENCE_MAX]; /* an escape sequence under way */
	size_t sequence_len;
	bool written; /* anything at all came */
};

/* The harmless part of `bytes` into `out`, which has room for len + CONSOLE_SEQUENCE_MAX bytes.
 * Returns its length. */
size_t console_filter(struct console *console, const char *bytes, size_t len, char *out);

/* client_data_fn for standard output. */
int console_write(void *data, const char *bytes, size_t len);
