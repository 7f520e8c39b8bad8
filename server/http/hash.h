/* SPDX-License-Identifier: Apache-2.0 */
/* The two hashes that HTTP needs. */
#pragma once

#include <stddef.h>

enum { WS_KEY_LEN = 24, WS_ACCEPT_SIZE = 64, HASH_HEX_SIZE = 65 };

/* The answer to a WebSocket client's key (RFC 6455 section 4.2.2); `ret_accept` of WS_ACCEPT_SIZE
 * bytes. 0 or -EIO. */
int ws_accept_key(const char *key, char *ret_accept);

struct hash_part {
	const void *data;
	size_t len;
};

/* SHA-256 of the parts, each with its length in front, in hexadecimal. 0 or -EIO. */
int hash_parts(const struct hash_part *parts, size_t n, char ret_hex[HASH_HEX_SIZE]);
