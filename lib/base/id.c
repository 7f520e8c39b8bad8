/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/id.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

struct id id_new(void)
{
	uint64_t when = (uint64_t)clock_wall_ms() & 0xffffffffffU;
	uint64_t salt = ((uint64_t)arc4random() << 32) | arc4random();
	struct id id;

	for (unsigned int i = 0; i < 8; i++) {
		id.s[i] = alphabet[(when >> (35 - 5 * i)) & 31];
		id.s[8 + i] = alphabet[(salt >> (5 * i)) & 31];
	}
	id.s[ID_LEN] = '\0';
	return id;
}

bool id_valid(const char *s)
{
	return strlen(s) == ID_LEN && strspn(s, alphabet) == ID_LEN;
}

bool dns_label_valid(const char *s)
{
	size_t n = strlen(s);

	if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}
