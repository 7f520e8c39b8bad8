/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and words of the kernel's text files, one after the other. */
#pragma once

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Skips blanks, reads an unsigned number in `base` and moves *p behind it. False, with *p
 * unchanged, when there is none or it is too large. */
static inline bool word_number(const char **p, int base, uint64_t *ret_value)
{
	const char *start = *p + strspn(*p, " \t");
	char *end;

	if (!isxdigit((unsigned char)*start))
		return false;
	errno = 0;
	uint64_t value = strtoull(start, &end, base);

	if (errno != 0 || end == start)
		return false;
	*ret_value = value;
	*p = end;
	return true;
}

/* Skips blanks and then a word, up to the next blank or line's end. */
static inline void word_skip(const char **p)
{
	*p += strspn(*p, " \t");
	*p += strcspn(*p, " \t\n");
}
