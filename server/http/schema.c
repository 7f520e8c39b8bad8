/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying a schema. Depth is bounded by that of the document that is checked (JSON_DEPTH_MAX, the
 * intake refuses more).
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

enum { SUGGEST_LEN_MAX = 32 };

static bool validate(const struct schema *s, const json_t *value, const struct schema_check *c);

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

static bool check_type(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	char words[128];

	if (!s->types || (s->types & type_of(value)))
		return true;
	schema_type_words(s->types, words, sizeof(words));
	return schema_bad(c, s->remedy, "must be %s", words);
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

static bool check_values(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	char text[SCHEMA_TEXT_MAX - 32];
	size_t i;
	json_t *item;

	if (s->constant && !json_equal(s->constant, value)) {
		autofree char *want = json_dumps(s->constant, JSON_ENCODE_ANY);

		return schema_bad(c, s->remedy, "must be %s", want ? want : "another value");
	}
	if (!s->one_of_values)
		return true;
	json_array_foreach (s->one_of_values, i, item)
		if (json_equal(item, value))
			return true;
	list_values(s->one_of_values, text, sizeof(text));
	return schema_bad(c, s->remedy, "must be one of %s", text);
}

static bool check_number(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	double x = json_number_value(value);

	if (x < s->minimum)
		return schema_bad(c, s->remedy, "must be at least %.17g", s->minimum);
	if (x > s->maximum)
		return schema_bad(c, s->remedy, "must be at most %.17g", s->maximum);
	if (s->format == FORMAT_INT32 && (x < INT32_MIN || x > INT32_MAX))
		return schema_bad(c, s->remedy, "must fit into 32 bits");
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

static bool check_string(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	const char *text = json_string_value(value);
	size_t n;

	if (s->min_length == 0 && s->max_length == SIZE_MAX && !s->has_pattern && !s->format)
		return true;
	n = code_points(text, json_string_length(value));
	if (n < s->min_length && s->min_length == 1)
		return schema_bad(c, s->remedy, "must not be empty");
	if (n < s->min_length)
		return schema_bad(c, s->remedy, "must have at least %zu characters", s->min_length);
	if (n > s->max_length)
		return schema_bad(c, s->remedy, "must have at most %zu characters, has %zu",
				  s->max_length, n);
	if (s->has_pattern && regexec(&s->pattern, text, 0, NULL, 0) != 0)
		return schema_bad(c, s->remedy, "must match %s", s->pattern_text);
	if (s->format == FORMAT_DATE_TIME && !is_date_time(text))
		return schema_bad(c, s->remedy ? s->remedy : "Write it as 2026-01-31T12:00:00Z.",
				  "must be a date and time as in RFC 3339");
	return true;
}

/* --- arrays and objects --- */

static bool check_array(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	size_t n = json_array_size(value);
	bool ok = true;

	if (n < s->min_items)
		ok = schema_bad(c, s->remedy, "must have at least %zu item%s", s->min_items,
				s->min_items == 1 ? "" : "s");
	if (n > s->max_items)
		return schema_bad(c, s->remedy, "must have at most %zu items, has %zu",
				  s->max_items, n);
	if (!s->items)
		return ok;
	for (size_t i = 0; i < n; i++) {
		struct schema_way way = { .up = c->way, .index = i };

		ok &= validate(s->items, json_array_get(value, i),
			       &(struct schema_check){ .v = c->v, .way = &way });
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
		/* As many letters have to stay as change. */
		if (d < best_distance && 2 * d <= strlen(name) && d < strlen(known)) {
			best = known;
			best_distance = d;
		}
	}
	return best;
}

static bool refuse_unknown(const struct schema *s, const char *name, const struct schema_check *c)
{
	const char *known = nearest(s, name);
	char remedy[SCHEMA_TEXT_MAX];
	size_t len;

	if (known) {
		(void)snprintf(remedy, sizeof(remedy), "Did you mean %s?", known);
		return schema_bad(c, remedy, "there is no such field");
	}
	len = (size_t)snprintf(remedy, sizeof(remedy), "Known fields:");
	for (size_t i = 0; i < s->n_properties && len < sizeof(remedy); i++)
		len += (size_t)snprintf(remedy + len, sizeof(remedy) - len, "%s %s", i ? "," : "",
					s->properties[i].name);
	return schema_bad(c, s->n_properties ? remedy : NULL, "there is no such field");
}

static bool check_member(const struct schema *s, const char *name, const json_t *value,
			 const struct schema_check *parent)
{
	struct schema_way way = { .up = parent->way, .key = name };
	struct schema_check c = { .v = parent->v, .way = &way };
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

static bool check_required(const struct schema *s, const json_t *value,
			   const struct schema_check *c)
{
	bool ok = true;

	for (size_t i = 0; s->n_required && i < s->n_properties; i++) {
		const struct schema_property *p = &s->properties[i];
		struct schema_way way = { .up = c->way, .key = p->name };

		if (!p->required || json_object_get(value, p->name))
			continue;
		ok = schema_bad(&(struct schema_check){ .v = c->v, .way = &way },
				p->schema && p->schema->remedy ? p->schema->remedy
							       : "Add the field.",
				"is required");
	}
	return ok;
}

static bool check_dependents(const struct schema *s, const json_t *value,
			     const struct schema_check *c)
{
	bool ok = true;

	for (size_t i = 0; i < s->n_dependents; i++) {
		const struct schema_dependent *d = &s->dependents[i];
		struct schema_way way = { .up = c->way, .key = d->needs };

		if (!json_object_get(value, d->name) || json_object_get(value, d->needs))
			continue;
		ok = schema_bad(&(struct schema_check){ .v = c->v, .way = &way },
				"Add the field, or leave the other one out.", "is required with %s",
				d->name);
	}
	return ok;
}

static bool check_object(const struct schema *s, const json_t *value, const struct schema_check *c)
{
	bool ok = check_required(s, value, c) & check_dependents(s, value, c);
	const char *name;
	json_t *member;

	if (json_object_size(value) < s->min_properties)
		ok = schema_bad(c, s->remedy, "must have at least %zu fields", s->min_properties);
	if (json_object_size(value) > s->max_properties)
		return schema_bad(c, s->remedy, "must have at most %zu fields, has %zu",
				  s->max_properties, json_object_size(value));
	json_object_foreach ((json_t *)(uintptr_t)value, name, member)
		ok &= check_member(s, name, member, c);
	return ok;
}

/* --- combinations --- */

/* The field that the object must have for this form, where it is given if `in` is not NULL. */
static const char *form_field(const struct schema *s, const json_t *in)
{
	for (size_t i = 0; s->n_required && i < s->n_properties; i++)
		if (s->properties[i].required &&
		    (!in || json_object_get(in, s->properties[i].name)))
			return s->properties[i].name;
	return NULL;
}

/*
 * Forms that fields tell apart: names those that are asked for where none is given, and those that
 * are too many. False where the value is about something else.
 */
static bool told_by_fields(const struct schema_list *list, const json_t *value,
			   const struct schema_check *c)
{
	const char *first = NULL;
	char names[SCHEMA_TEXT_MAX - 64] = "";
	size_t len = 0;
	size_t given = 0;

	if (!json_is_object(value))
		return false;
	for (size_t i = 0; i < list->n; i++) {
		const char *name = form_field(list->items[i], NULL);
		const char *there = form_field(list->items[i], value);
		struct schema_way way = { .up = c->way, .key = there };

		if (!name || len >= sizeof(names))
			return false;
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
					name);
		if (there && first)
			(void)schema_bad(&(struct schema_check){ .v = c->v, .way = &way },
					 "Leave one of them out.", "can't stand beside %s", first);
		else if (there)
			first = there;
		given += there != NULL;
	}
	if (given == 0)
		(void)schema_bad(c, "Add one of these fields.", "one of %s is required", names);
	return given != 1;
}

static bool is_listed(const json_t *list, const json_t *wanted)
{
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry)
		if (json_equal(entry, wanted))
			return true;
	return false;
}

/* A form may say of a field what was said before. */
static void add_all(const json_t *list, const struct schema_check *c)
{
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry)
		if (!is_listed(c->v->list, entry))
			violations_add(c->v, json_string_value(json_object_get(entry, "pointer")),
				       json_string_value(json_object_get(entry, "detail")),
				       json_string_value(json_object_get(entry, "remedy")));
}

/* The branch that was meant has its field given, or else the fewest complaints. */
static bool check_any(const struct schema_list *list, bool only_one, const json_t *value,
		      const struct schema_check *c)
{
	struct violations best = { 0 };
	bool best_given = false;
	size_t matches = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct violations v = { 0 };
		bool given = form_field(list->items[i], value) != NULL;

		if (validate(list->items[i], value,
			     &(struct schema_check){ .v = &v, .way = c->way })) {
			matches++;
			violations_done(&v);
		} else if (!best.count || given > best_given ||
			   (given == best_given && v.count < best.count)) {
			violations_done(&best);
			best = v;
			best_given = given;
		} else {
			violations_done(&v);
		}
	}
	if (matches == 0 && !(only_one && told_by_fields(list, value, c)))
		add_all(best.list, c);
	violations_done(&best);
	if (only_one && matches > 1)
		return !told_by_fields(list, value, c) &&
		       schema_bad(c, NULL,
				  "fits more than one of the forms that exclude each other");
	return matches > 0;
}

static bool check_kind(const struct schema *s, const json_t *value, const struct schema_check *c)
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

static bool validate(const struct schema *s, const json_t *value, const struct schema_check *c)
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
	return validate(schema, value, &(struct schema_check){ .v = v });
}
