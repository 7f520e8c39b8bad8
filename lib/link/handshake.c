/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static const char hex_digits[] = "0123456789abcdef";

void link_scan_init(struct link_scan *scan)
{
	scan->len = 0;
	scan->skip = false;
}

/* True when what is kept of the line can still become, or is, one of ours. */
static bool promising(const struct link_scan *scan)
{
	size_t n = scan->len < strlen(LINK_HELLO) ? scan->len : strlen(LINK_HELLO);

	return memcmp(scan->line, LINK_HELLO, n) == 0;
}

size_t link_scan_feed(struct link_scan *scan, const void *bytes, size_t len, const char **ret_line)
{
	const char *p = bytes;

	*ret_line = NULL;
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n') {
			bool found = !scan->skip && scan->len >= strlen(LINK_HELLO);

			scan->line[scan->len] = '\0';
			scan->len = 0;
			scan->skip = false;
			if (found) {
				*ret_line = scan->line;
				return i + 1;
			}
		} else if (!scan->skip) {
			scan->line[scan->len++] = p[i];
			if (scan->len == sizeof(scan->line) || !promising(scan)) {
				scan->skip = true;
				scan->len = 0;
			}
		}
	}
	return len;
}

int link_nonce_new(char nonce[LINK_NONCE_LEN + 1])
{
	uint8_t raw[LINK_NONCE_LEN / 2];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return -EIO;
	for (size_t i = 0; i < sizeof(raw); i++) {
		nonce[2 * i] = hex_digits[raw[i] >> 4];
		nonce[2 * i + 1] = hex_digits[raw[i] & 15];
	}
	nonce[LINK_NONCE_LEN] = '\0';
	return 0;
}

const char *link_hello_nonce(const char *line)
{
	const char *nonce;

	if (!str_has_prefix(line, LINK_HELLO))
		return NULL;
	nonce = line + strlen(LINK_HELLO);
	if (strlen(nonce) != LINK_NONCE_LEN || strspn(nonce, hex_digits) != LINK_NONCE_LEN)
		return NULL;
	return nonce;
}

const char *link_hello_answer(const char *line, const char *nonce)
{
	const char *p;

	if (!str_has_prefix(line, LINK_HELLO_OK))
		return NULL;
	p = line + strlen(LINK_HELLO_OK);
	if (strncmp(p, nonce, LINK_NONCE_LEN) != 0 || p[LINK_NONCE_LEN] != ' ')
		return NULL;
	return p + LINK_NONCE_LEN + 1;
}
