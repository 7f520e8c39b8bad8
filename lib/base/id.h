/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identifiers: 16 characters of lower-case Crockford base32 (80 bits): 40 bits of wall clock
 * milliseconds, so that ids sort by age, and 40 random bits. Safe in file names, interface names
 * (cut), URLs and logs.
 */
#pragma once

#include <stdbool.h>

enum { ID_LEN = 16 };

struct id {
	char s[ID_LEN + 1];
};

/* A new id. */
struct id id_new(void);

/* True for exactly 16 characters of the alphabet. */
bool id_valid(const char *s);

/* A DNS label as RFC 1123 has it: 1 to 63 of [a-z0-9-], no hyphen at the ends. */
bool dns_label_valid(const char *s);
