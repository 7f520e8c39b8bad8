/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t utf8_sequence(const void *bytes, size_t left)
{
	const unsigned char *p = bytes;
	static const struct {
		unsigned char first, last; /* range of the first byte */
		unsigned char low, high;   /* range of the second */
		size_t len;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (left < forms[i].len || p[1] < forms[i].low || p[1] > forms[i].high)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

char *utf8_text(const void *bytes, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const unsigned char *p = bytes;
	size_t out = 0;
	char *s;

	if (len > (SIZE_MAX - 1) / 3)
		return NULL;
	s = malloc(len * 3 + 1);
	if (!s)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(p + i, len - i);

		/* NUL is valid UTF-8 but no C string can hold it. */
		if (n == 0 || p[i] == 0) {
			memcpy(s + out, replacement, 3);
			out += 3;
			i++;
		} else {
			memcpy(s + out, p + i, n);
			out += n;
			i += n;
		}
	}
	s[out] = '\0';
	return s;
}
