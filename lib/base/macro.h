/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small macros that every layer may use: element counts, attributes, string equality.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Number of elements of an array; does not compile when given a pointer. */
#define ARRAY_SIZE(a)                                                                          \
	(sizeof(a) / sizeof((a)[0]) +                                                          \
	 0 * sizeof(struct {                                                                   \
		 int not_a_pointer : 1 -                                                       \
			 2 * __builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])); \
	 }))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_USE               __attribute__((warn_unused_result))

/* The struct that holds `member`, from a pointer to that member. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}
