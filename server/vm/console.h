/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's serial console: read from the VMM's socket on the loop, kept in a bounded log of two
 * files (console.log, console.log.1), and passed on to whoever listens.
 */
#pragma once

#include <stddef.h>

#include "lib/loop/loop.h"

struct console;
struct console_listener;

enum { CONSOLE_FILE_MAX = 1024 * 1024 };

typedef void console_fn(void *data, const void *bytes, size_t len);

/* Takes over `fd`, a connected non-blocking socket, and `dir_fd`, the folder of the log; also on
 * failure. */
int console_new(struct loop *loop, int fd, int dir_fd, struct console **ret_console) MUST_USE;
/* Reads what is still there, then closes. NULL is fine. */
void console_free(struct console *console);

/* Reads what is still in the VMM's socket; how many bytes came since console_new(): as much of the
 * log's end is of this process. */
size_t console_drain(struct console *console);

/* NULL when out of memory. `ended` (may be NULL) is the last call; the listener is gone when it
 * returns. */
struct console_listener *console_listen(struct console *console, console_fn *fn, loop_fn *ended,
					void *data);
/* NULL is fine; not after `ended` was called. */
void console_unlisten(struct console_listener *listener);

/* To the guest, as far as its VMM takes it at once: nobody waits for a console that is not read. */
void console_write(struct console *console, const void *bytes, size_t len);

/* The whole log; the caller frees. */
int console_read_log(int dir_fd, char **ret_data, size_t *ret_len) MUST_USE;
