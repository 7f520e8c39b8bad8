/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying a schema. Depth is bounded by that of the document that is checked (JSON_DEPTH_MAX, the
 * intake refuses more). The way to a value is a list through the callers' stack frames; it becomes
 * a JSON pointer only when there is something to say.
 */
#include "server/http/schema.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/schema_internal.h"

enum { TEXT_MAX = 384, STEP_MAX = 64, SUGGEST_LEN_MAX = 32, DEPTH_MAX = 128 };

struct way {
	const struct way *up;
	const char *key; /* NULL: index */
	size_t index;
};

struct check {
	struct violations *v;
	const struct way *way;
};

static bool validate(const struct schema *s, const json_t *value, const struct check *c);

/* --- saying what is wrong --- */

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

static void append_step(const struct way *way, char *buf, size_t size)
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

static void pointer_of(const struct way *way, char *buf, size_t size)
{
	const struct way *steps[DEPTH_MAX];
	size_t n = 0;

	buf[0] = '\0';
	for (; way && n < ARRAY_SIZE(steps); way = way->up)
		steps[n++] = way;
	while (n > 0)
		append_step(steps[--n], buf, size);
}

static bool bad(const struct check *c, const char *remedy, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool bad(const struct check *c, const char *remedy, const char *fmt, ...)
{
	char pointer[TEXT_MAX];
	char detail[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	detail[cut(detail, sizeof(detail) - 4)] = '\0';
	pointer_of(c->way, pointer, sizeof(pointer));
	violations_add(c->v, pointer, detail, remedy);
	return false;
}

/* --- types --- */

static unsigned int type_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return TYPE_OBJECT;
	case JSON_ARRAY:
		return TYPE_ARRAY;
	case JSON_STRING:
		return TYPE_STRING;
	case JSON_INTEGER:
		return TYPE_INTEGER | TYPE_NUMBER;
	case JSON_REAL:
		return TYPE_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE:
		return TYPE_BOOLEAN;
	case JSON_NULL:
		return TYPE_NULL;
	}
	return 0;
}

static bool check_type(const struct schema *s, const json_t *value, const struct check *c)
{
	char words[128];

	if (!s->types || (s->types & type_of(value)))
		return true;
	schema_type_words(s->types, words, sizeof(words));
	return bad(c, s->remedy, "must be %s", words);
}

static void list_values(const json_t *values, char *buf, size_t size)
{
	size_t len = 0;
	size_t i;
	json_t *item;

	buf[0] = '\0';
	json_array_foreach (values, i, item) {
		autofree char *text = json_dumps(item, JSON_ENCODE_ANY);

		if (!text || len >= size)
			break;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "", text);
	}
}

static bool check_values(const struct schema *s, const json_t *value, const struct check *c)
{
	char text[TEXT_MAX - 32];
	size_t i;
	json_t *item;

	if (s->constant && !json_equal(s->constant, value)) {
		autofree char *want = json_dumps(s->constant, JSON_ENCODE_ANY);

		return bad(c, s->remedy, "must be %s", want ? want : "another value");
	}
	if (!s->one_of_values)
		return true;
	json_array_foreach (s->one_of_values, i, item)
		if (json_equal(item, value))
			return true;
	list_values(s->one_of_values, text, sizeof(text));
	return bad(c, s->remedy, "must be one of %s", text);
}

static bool check_number(const struct schema *s, const json_t *value, const struct check *c)
{
	double x = json_number_value(value);

	if (x < s->minimum)
		return bad(c, s->remedy, "must be at least %.17g", s->minimum);
	if (x > s->maximum)
		return bad(c, s->remedy, "must be at most %.17g", s->maximum);
	if (s->format == FORMAT_INT32 && (x < INT32_MIN || x > INT32_MAX))
		return bad(c, s->remedy, "must fit into 32 bits");
	return true;
}

/* --- strings --- */

static size_t code_points(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

static bool digits(const char **p, int n)
{
	for (int i = 0; i < n; i++, (*p)++)
		if (!isdigit((unsigned char)**p))
			return false;
	return true;
}

static bool is_date_time(const char *p)
{
	if (!digits(&p, 4) || *p++ != '-' || !digits(&p, 2) || *p++ != '-' || !digits(&p, 2))
		return false;
	if (*p != 'T' && *p != 't')
		return false;
	p++;
	if (!digits(&p, 2) || *p++ != ':' || !digits(&p, 2) || *p++ != ':' || !digits(&p, 2))
		return false;
	if (*p == '.') {
		p++;
		if (!digits(&p, 1))
			return false;
		while (isdigit((unsigned char)*p))
			p++;
	}
	if (*p == 'Z' || *p == 'z')
		return p[1] == '\0';
	if (*p != '+' && *p != '-')
		return false;
	p++;
	return digits(&p, 2) && *p++ == ':' && digits(&p, 2) && *p == '\0';
}

static bool check_string(const struct schema *s, const json_t *value, const struct check *c)
{
	const char *text = json_string_value(value);
	size_t n;

	if (s->min_length == 0 && s->max_length == SIZE_MAX && !s->has_pattern && !s->format)
		return true;
	n = code_points(text, json_string_length(value));
	if (n < s->min_length && s->min_length == 1)
		return bad(c, s->remedy, "must not be empty");
	if (n < s->min_length)
		return bad(c, s->remedy, "must have at least %zu characters", s->min_length);
	if (n > s->max_length)
		return bad(c, s->remedy, "must have at most %zu characters, has %zu", s->max_length,
			   n);
	if (s->has_pattern && regexec(&s->pattern, text, 0, NULL, 0) != 0)
		return bad(c, s->remedy, "must match %s", s->pattern_text);
	if (s->format == FORMAT_DATE_TIME && !is_date_time(text))
		return bad(c, s->remedy ? s->remedy : "Write it as 2026-01-31T12:00:00Z.",
			   "must be a date and time as in RFC 3339");
	return true;
}

/* --- arrays and objects --- */

static bool check_array(const struct schema *s, const json_t *value, const struct check *c)
{
	size_t n = json_array_size(value);
	bool ok = true;

	if (n < s->min_items)
		ok = bad(c, s->remedy, "must have at least %zu item%s", s->min_items,
			 s->min_items == 1 ? "" : "s");
	if (n > s->max_items)
		return bad(c, s->remedy, "must have at most %zu items, has %zu", s->max_items, n);
	if (!s->items)
		return ok;
	for (size_t i = 0; i < n; i++) {
		struct way way = { .up = c->way, .index = i };

		ok &= validate(s->items, json_array_get(value, i),
			       &(struct check){ .v = c->v, .way = &way });
	}
	return ok;
}

/* Levenshtein distance of two short names. */
static size_t distance(const char *a, const char *b)
{
	size_t row[SUGGEST_LEN_MAX + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static const char *nearest(const struct schema *s, const char *name)
{
	const char *best = NULL;
	size_t best_distance = 4;

	if (strnlen(name, SUGGEST_LEN_MAX + 1) > SUGGEST_LEN_MAX)
		return NULL;
	for (size_t i = 0; i < s->n_properties; i++) {
		const char *known = s->properties[i].name;
		size_t d;

		if (strlen(known) > SUGGEST_LEN_MAX)
			continue;
		if (strlen(name) >= 3 && str_has_prefix(known, name))
			return known;
		d = distance(name, known);
		if (d < best_distance && d < strlen(known)) {
			best = known;
			best_distance = d;
		}
	}
	return best;
}

static bool refuse_unknown(const struct schema *s, const char *name, const struct check *c)
{
	const char *known = nearest(s, name);
	char remedy[TEXT_MAX];
	size_t len;

	if (known) {
		(void)snprintf(remedy, sizeof(remedy), "Did you mean %s?", known);
		return bad(c, remedy, "there is no such field");
	}
	len = (size_t)snprintf(remedy, sizeof(remedy), "Known fields:");
	for (size_t i = 0; i < s->n_properties && len < sizeof(remedy); i++)
		len += (size_t)snprintf(remedy + len, sizeof(remedy) - len, "%s %s", i ? "," : "",
					s->properties[i].name);
	return bad(c, s->n_properties ? remedy : NULL, "there is no such field");
}

static bool check_member(const struct schema *s, const char *name, const json_t *value,
			 const struct check *parent)
{
	struct way way = { .up = parent->way, .key = name };
	struct check c = { .v = parent->v, .way = &way };
	const struct schema_property *p = schema_property(s, name);
	bool ok = true;

	if (s->property_names) {
		json_auto_t *key = json_string(name);

		ok = key && validate(s->property_names, key, &c);
	}
	if (p)
		return (!p->schema || validate(p->schema, value, &c)) && ok;
	if (s->closed)
		return refuse_unknown(s, name, &c);
	if (s->additional)
		return validate(s->additional, value, &c) && ok;
	return ok;
}

static bool check_required(const struct schema *s, const json_t *value, const struct check *c)
{
	bool ok = true;

	for (size_t i = 0; s->n_required && i < s->n_properties; i++) {
		const struct schema_property *p = &s->properties[i];
		struct way way = { .up = c->way, .key = p->name };

		if (!p->required || json_object_get(value, p->name))
			continue;
		ok = bad(&(struct check){ .v = c->v, .way = &way },
			 p->schema && p->schema->remedy ? p->schema->remedy : "Add the field.",
			 "is required");
	}
	return ok;
}

static bool check_object(const struct schema *s, const json_t *value, const struct check *c)
{
	bool ok = check_required(s, value, c);
	const char *name;
	json_t *member;

	if (json_object_size(value) < s->min_properties)
		ok = bad(c, s->remedy, "must have at least %zu fields", s->min_properties);
	if (json_object_size(value) > s->max_properties)
		return bad(c, s->remedy, "must have at most %zu fields, has %zu", s->max_properties,
			   json_object_size(value));
	json_object_foreach ((json_t *)(uintptr_t)value, name, member)
		ok &= check_member(s, name, member, c);
	return ok;
}

/* --- combinations --- */

/* The branch with the fewest complaints is most likely the one that was meant. */
static bool check_any(const struct schema_list *list, bool only_one, const json_t *value,
		      const struct check *c)
{
	struct violations best = { 0 };
	size_t matches = 0;
	size_t i;
	json_t *entry;

	for (i = 0; i < list->n; i++) {
		struct violations v = { 0 };

		if (validate(list->items[i], value, &(struct check){ .v = &v, .way = c->way })) {
			matches++;
			violations_done(&v);
		} else if (!best.count || v.count < best.count) {
			violations_done(&best);
			best = v;
		} else {
			violations_done(&v);
		}
	}
	if (matches == 0) {
		json_array_foreach (best.list, i, entry)
			violations_add(c->v, json_string_value(json_object_get(entry, "pointer")),
				       json_string_value(json_object_get(entry, "detail")),
				       json_string_value(json_object_get(entry, "remedy")));
	}
	violations_done(&best);
	if (only_one && matches > 1)
		return bad(c, NULL, "fits more than one of the forms that exclude each other");
	return matches > 0;
}

static bool check_kind(const struct schema *s, const json_t *value, const struct check *c)
{
	if (json_is_object(value))
		return check_object(s, value, c);
	if (json_is_array(value))
		return check_array(s, value, c);
	if (json_is_string(value))
		return check_string(s, value, c);
	if (json_is_number(value))
		return check_number(s, value, c);
	return true;
}

static bool validate(const struct schema *s, const json_t *value, const struct check *c)
{
	bool ok;

	if (s->ref && !validate(s->ref, value, c))
		return false;
	if (!check_type(s, value, c))
		return false;
	ok = check_values(s, value, c) && check_kind(s, value, c);
	for (size_t i = 0; i < s->all_of.n; i++)
		ok &= validate(s->all_of.items[i], value, c);
	if (s->any_of.n)
		ok &= check_any(&s->any_of, false, value, c);
	if (s->one_of.n)
		ok &= check_any(&s->one_of, true, value, c);
	return ok;
}

bool schema_validate(const struct schema *schema, const json_t *value, struct violations *v)
{
	return validate(schema, value, &(struct check){ .v = v });
}

/* --- parameters --- */

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
