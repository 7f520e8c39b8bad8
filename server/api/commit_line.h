/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line of a patch that a guest sends: the full name of a commit, of SHA-1 or SHA-256, in
 * lower case (git-rev-parse(1)). It comes in pieces, and the guest may send anything.
 */
#pragma once

#include <stddef.h>

enum { COMMIT_NAME_MAX = 64 };

enum commit_line_state { COMMIT_LINE_OPEN, COMMIT_LINE_DONE, COMMIT_LINE_BAD };

/* All zero at first. `name` ends with NUL; it is whole once the state is DONE. */
struct commit_line {
	enum commit_line_state state;
	size_t len;
	char name[COMMIT_NAME_MAX + 1];
};

/* Takes bytes up to the line's end; returns how many belong to it: all of them while it is not
 * DONE. */
size_t commit_line_feed(struct commit_line *line, const char *bytes, size_t len);
