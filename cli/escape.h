/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a terminal session that are not for the guest: `~.`, `~d` and `~~` after a newline.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum escape_action { ESCAPE_NONE, ESCAPE_END, ESCAPE_LEAVE };

struct escape {
	bool at_start; /* of a line */
	bool tilde;    /* held back */
};

void escape_init(struct escape *e);
/*
 * Copies what is for the guest to `out`, which has room for 2 * len bytes, and returns how much
 * that is. Ends at the first action.
 */
size_t escape_feed(struct escape *e, const char *keys, size_t len, char *out,
		   enum escape_action *ret_action);
