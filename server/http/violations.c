/* SPDX-License-Identifier: Apache-2.0 */
/* Saying what is wrong with a value, and where. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/http/schema_internal.h"

enum { STEP_MAX = 64, DEPTH_MAX = 128 };

void violations_done(struct violations *v)
{
	json_decref(v->list);
	*v = (struct violations){ 0 };
}

void violations_add(struct violations *v, const char *pointer, const char *detail,
		    const char *remedy)
{
	json_t *entry;

	if (v->count++ >= VIOLATIONS_MAX)
		return;
	if (!v->list)
		v->list = json_array();
	entry = json_pack("{s:s, s:s}", "pointer", pointer, "detail", detail);
	if (entry && remedy)
		(void)json_object_set_new(entry, "remedy", json_string(remedy));
	if (!v->list || !entry || json_array_append_new(v->list, entry) < 0)
		return;
}

/* At most `max` bytes of s, cut between characters. */
static size_t cut(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static void append_step(const struct schema_way *way, char *buf, size_t size)
{
	size_t len = strlen(buf);
	size_t n;

	if (len + STEP_MAX + 8 > size)
		return;
	if (!way->key) {
		(void)snprintf(buf + len, size - len, "/%zu", way->index);
		return;
	}
	n = cut(way->key, STEP_MAX);
	buf[len++] = '/';
	for (size_t i = 0; i < n && len + 3 < size; i++) {
		char ch = way->key[i];

		if (ch == '~' || ch == '/') {
			buf[len++] = '~';
			ch = ch == '~' ? '0' : '1';
		}
		buf[len++] = ch;
	}
	buf[len] = '\0';
}

static void pointer_of(const struct schema_way *way, char *buf, size_t size)
{
	const struct schema_way *steps[DEPTH_MAX];
	size_t n = 0;

	buf[0] = '\0';
	for (; way && n < ARRAY_SIZE(steps); way = way->up)
		steps[n++] = way;
	while (n > 0)
		append_step(steps[--n], buf, size);
}

bool schema_bad(const struct schema_check *c, const char *remedy, const char *fmt, ...)
{
	char pointer[SCHEMA_TEXT_MAX];
	char detail[SCHEMA_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	detail[cut(detail, sizeof(detail) - 4)] = '\0';
	pointer_of(c->way, pointer, sizeof(pointer));
	violations_add(c->v, pointer, detail, remedy);
	return false;
}
