/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hex.h"

enum { SECRET_MAX = 64 };

void secret_make(char *text, size_t bytes)
{
	unsigned char random[SECRET_MAX];

	assert(bytes <= sizeof(random));
	arc4random_buf(random, bytes);
	hex_of(random, bytes, text);
	explicit_bzero(random, sizeof(random));
}

bool secret_same(const char *a, const char *b, size_t len)
{
	unsigned char diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (unsigned char)(a[i] ^ b[i]);
	return diff == 0;
}
