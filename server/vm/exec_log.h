/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command wrote, kept on the host: the newest bytes of both streams in one sequence, which
 * of them belong to standard error, and how many there were before. One file of bounded size. What
 * has been appended survives the end of the server at any moment.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"

enum {
	EXEC_LOG_RING = 4 * 1024 * 1024, /* bytes kept */
	EXEC_LOG_APPEND_MAX = 64 * 1024, /* of one append */
	EXEC_LOG_PIECES = 16384,         /* changes between the streams that are kept */
};

struct exec_log {
	int fd;         /* -1: not open */
	uint64_t end;   /* bytes ever appended */
	uint64_t last;  /* number of the newest piece; 0: none */
	uint64_t first; /* of the oldest that is kept */
	bool is_stderr; /* of the newest */
};

#define EXEC_LOG_INIT ((struct exec_log){ .fd = -1 })

/* Opens or makes the file `name` below `dir_fd`, and finds where it ended. 0 or a negative errno.
 */
int exec_log_open(int dir_fd, const char *name, struct exec_log *ret_log) MUST_USE;
void exec_log_close(struct exec_log *log);

/* At most EXEC_LOG_APPEND_MAX bytes; all of them or a negative errno. */
int exec_log_append(struct exec_log *log, bool is_stderr, const void *bytes, size_t len) MUST_USE;

/* Offset of the oldest byte that can be read. */
uint64_t exec_log_base(const struct exec_log *log);

/*
 * Reads from `offset` (between base and end) on, at most `max` bytes and of one stream only.
 * Returns how many, 0 at the end, or a negative errno.
 */
ssize_t exec_log_read(const struct exec_log *log, uint64_t offset, void *to, size_t max,
		      bool *ret_is_stderr) MUST_USE;
