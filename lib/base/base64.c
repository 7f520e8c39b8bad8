/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	char *s = malloc(len / 3 * 4 + 5);
	size_t o = 0;

	if (!s)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i < 3 ? len - i : 3;
		unsigned int v = (unsigned int)p[i] << 16 |
				 (left > 1 ? (unsigned int)p[i + 1] << 8 : 0) |
				 (left > 2 ? p[i + 2] : 0U);

		s[o++] = digits[v >> 18];
		s[o++] = digits[(v >> 12) & 63];
		s[o++] = left > 1 ? digits[(v >> 6) & 63] : '=';
		s[o++] = left > 2 ? digits[v & 63] : '=';
	}
	s[o] = '\0';
	return s;
}

static int digit_value(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

ssize_t base64_decode(const char *text, size_t len, unsigned char *out)
{
	size_t n = 0, padding = 0;

	if (len % 4 != 0)
		return -EINVAL;
	while (padding < 2 && len > 0 && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i += 4) {
		size_t given = i + 4 == len ? 4 - padding : 4;
		unsigned int bits = 0;

		for (size_t j = 0; j < 4; j++) {
			int value = j < given ? digit_value(text[i + j]) : 0;

			if (value < 0)
				return -EINVAL;
			bits = bits << 6 | (unsigned int)value;
		}
		for (size_t j = 0; j + 1 < given; j++)
			out[n++] = (unsigned char)(bits >> (16 - 8 * j));
	}
	return (ssize_t)n;
}
