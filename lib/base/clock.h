/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: one that never jumps, for durations and deadlines; one for people. */
#pragma once

#include <stdint.h>

/* Monotonic time in microseconds (CLOCK_MONOTONIC). */
int64_t clock_mono_us(void);

/* Wall clock time since the epoch. */
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);

/* From RFC 3339, "2026-01-31T12:00:00+01:00"; INT64_MIN for what is none. */
int64_t clock_parse_ms(const char *text);

/* "2026-01-31T12:00:00.123Z" (RFC 3339); `buf` of at least 32 bytes. Returns buf. */
char *clock_format_ms(int64_t wall_ms, char *buf);
