/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/console.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

/* Takes one more byte of an escape sequence; returns the bytes to let through, when it ends. */
static size_t sequence_byte(struct console *c, char byte, char *out)
{
	size_t n;

	if (c->sequence_len == CONSOLE_SEQUENCE_MAX) {
		c->sequence_len = 0;
		return 0;
	}
	c->sequence[c->sequence_len++] = byte;
	n = c->sequence_len;
	if (n == 2 && byte == '[')
		return 0;
	if (n > 2 && ((byte >= '0' && byte <= '9') || byte == ';'))
		return 0;
	c->sequence_len = 0;
	/* ESC [ numbers m: a colour. */
	if (n <= 2 || byte != 'm')
		return 0;
	memcpy(out, c->sequence, n);
	return n;
}

size_t console_filter(struct console *c, const char *bytes, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (c->sequence_len > 0) {
			n += sequence_byte(c, bytes[i], out + n);
		} else if (byte == 0x1b) {
			c->sequence[0] = bytes[i];
			c->sequence_len = 1;
		} else if ((byte >= 0x20 && byte != 0x7f) || strchr("\n\r\t\b", byte)) {
			if (byte != 0)
				out[n++] = bytes[i];
		}
	}
	return n;
}

int console_write(void *data, const char *bytes, size_t len)
{
	struct console *console = data;
	autofree char *clean = NULL;

	console->written = true;
	if (!console->filter)
		return write_all(STDOUT_FILENO, bytes, len);
	clean = malloc(len + CONSOLE_SEQUENCE_MAX);
	if (!clean)
		return -ENOMEM;
	len = console_filter(console, bytes, len, clean);
	return write_all(STDOUT_FILENO, clean, len);
}
