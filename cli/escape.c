/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/escape.h"

void escape_init(struct escape *e)
{
	*e = (struct escape){ .at_start = true };
}

size_t escape_feed(struct escape *e, const char *keys, size_t len, char *out,
		   enum escape_action *ret_action)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char key = keys[i];

		if (e->tilde) {
			e->tilde = false;
			if (key == '.' || key == 'd') {
				*ret_action = key == '.' ? ESCAPE_END : ESCAPE_LEAVE;
				return n;
			}
			out[n++] = '~';
			e->at_start = false;
			if (key == '~')
				continue;
		} else if (key == '~' && e->at_start) {
			e->tilde = true;
			continue;
		}
		out[n++] = key;
		e->at_start = key == '\r' || key == '\n';
	}
	return n;
}
