/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging to standard error: one line a record, written with one write(2), so that threads never
 * interleave. JSON when standard error is not a terminal, readable columns when it is. The
 * operation id of the calling thread is added to every record. Field values are escaped; a record
 * is cut at 4 KiB.
 */
#pragma once

#include <stdint.h>

#include "lib/base/macro.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_MAX_ };

/* Call once, before the first thread. `program` is borrowed for the life of the process. */
void log_init(const char *program, enum log_level level);

/* "error", "warn", "info", "debug"; returns 0 or -EINVAL. */
int log_level_parse(const char *s, enum log_level *ret_level);

/* The operation id of this thread's records; "" for none. At most 31 characters are kept. */
void log_set_op(const char *op_id);
const char *log_op(void);

/* A record with a message only. */
void log_msg(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A record with fields: name, value pairs of `const char *`, ended by NULL.
 * log_fields(LOG_INFO, "vm started", "vm", vm->id, "vmm", "qemu", NULL);
 */
void log_fields(enum log_level level, const char *message, ...) __attribute__((sentinel));

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
