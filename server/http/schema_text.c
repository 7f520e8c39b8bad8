/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters are text: what a schema makes of it. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "server/http/schema_internal.h"

static unsigned int types_of_schema(const struct schema *s)
{
	while (s && !s->types && s->ref)
		s = s->ref;
	return s ? s->types : 0;
}

bool schema_is_array(const struct schema *schema)
{
	return types_of_schema(schema) & TYPE_ARRAY;
}

const struct schema *schema_items(const struct schema *schema)
{
	while (schema && !schema->items && schema->ref)
		schema = schema->ref;
	return schema ? schema->items : NULL;
}

static json_t *parse_integer(const char *text)
{
	const char *p = *text == '-' ? text + 1 : text;
	char *end;
	long long n;

	if (!isdigit((unsigned char)*p) || (p[0] == '0' && p[1]))
		return NULL;
	errno = 0;
	n = strtoll(text, &end, 10);
	return errno || *end ? NULL : json_integer(n);
}

json_t *schema_parse_text(const struct schema *schema, const char *text)
{
	unsigned int types = types_of_schema(schema);
	json_t *value = NULL;

	if (types & (TYPE_INTEGER | TYPE_NUMBER))
		value = parse_integer(text);
	if (!value && (types & TYPE_BOOLEAN)) {
		if (streq(text, "true") || streq(text, "1"))
			value = json_true();
		else if (streq(text, "false") || streq(text, "0"))
			value = json_false();
	}
	return value ? value : json_string(text);
}

bool schema_is_short_text(const struct schema *s, const char *text)
{
	size_t len = 0;

	while (s && !s->types && s->ref)
		s = s->ref;
	if (!s || s->types != TYPE_STRING || s->has_pattern || s->format || s->one_of_values ||
	    s->constant || s->ref || s->one_of.n || s->any_of.n || s->all_of.n)
		return false;
	/* ASCII alone: each byte is a character. */
	while (text[len] && !((unsigned char)text[len] & 0x80))
		len++;
	return !text[len] && len >= s->min_length && len <= s->max_length;
}
