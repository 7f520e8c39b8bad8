/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal digits, in either case. */
#pragma once

#include <stddef.h>

/* Value of a hexadecimal digit or -1. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Two lower-case digits for each of `n` bytes, and a NUL: `ret_hex` has room for 2 * n + 1. */
static inline void hex_of(const unsigned char *bytes, size_t n, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		ret_hex[2 * i] = digits[bytes[i] >> 4];
		ret_hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_hex[2 * n] = '\0';
}
