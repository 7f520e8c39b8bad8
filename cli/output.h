/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people: tables, amounts, ages. What comes from a server or a guest is never written to a
 * terminal as it is: control characters are shown as '?'.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/macro.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	size_t n_columns;
	char **cells; /* row after row, the heading first */
	size_t n_cells;
	size_t room;
	bool failed; /* out of memory: nothing is printed */
};

/* Headings, ended by NULL. */
void table_init(struct table *table, ...) __attribute__((sentinel));
void table_done(struct table *table);
/* The next cell, copied and made harmless; NULL and "" are shown as "-". */
void table_cell(struct table *table, const char *text);
void table_cellf(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Columns as wide as their widest cell, two blanks between them; the last one is not padded. */
void table_print(const struct table *table, FILE *out, bool colour);

/* Number of terminal columns that a UTF-8 text takes, one for each code point. */
size_t text_width(const char *s);

/* Copies `s`, control characters replaced; always NUL-terminated. Returns buf. */
char *text_harmless(const char *s, char *buf, size_t size);

/* "64 MiB", "1.5 GiB"; `buf` of at least 32 bytes. Returns buf. */
char *format_bytes(uint64_t bytes, char *buf);
/* "350 ms", "3.2 s", "4 m", "2 h", "3 d"; `buf` of at least 32 bytes. Returns buf. */
char *format_duration_ms(int64_t ms, char *buf);
/* How long ago an RFC 3339 time was, "-" when it is none. */
char *format_age(const char *rfc3339, int64_t now_ms, char *buf);
/* How long it is until then, "-" for no time. */
char *format_until(const char *rfc3339, int64_t now_ms, char *buf);
/* Milliseconds since the epoch, or -1. */
int64_t parse_rfc3339_ms(const char *s);

/* The member as text, or "" (strings), 0 (integers). Borrowed. */
const char *json_str(const json_t *object, const char *key);
int64_t json_int(const json_t *object, const char *key);

/* Indented JSON and a newline. Returns an exit status: 1 when standard output can't be written. */
int print_json(const json_t *value);
