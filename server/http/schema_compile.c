/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a schema in the document to struct schema. Each keyword is a row of a table. A $ref is
 * compiled once and may refer back to where it stands: its struct is known before its keywords are
 * read.
 */
#include <assert.h>
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/schema_internal.h"

enum { WHERE_MAX = 256, PATTERN_INPUT_MAX = 4096 };

struct compiler {
	struct schema_set *set;
	struct schema *s;
	const char *where;
	struct error *err;
};

static int fail(struct compiler *c, const char *what)
{
	return error_set(c->err, ERR_INTERNAL, "OpenAPI document: %s: %s", c->where, what);
}

static int sub_schema(struct compiler *c, const json_t *node, const char *step,
		      const struct schema **ret_schema)
{
	char where[WHERE_MAX];

	(void)snprintf(where, sizeof(where), "%s/%s", c->where, step);
	return schema_compile(c->set, node, where, ret_schema, c->err);
}

static int keep_text(struct compiler *c, const char *text, const char **ret_text)
{
	*ret_text = schema_keep_text(c->set, text);
	return *ret_text ? 0 : error_errno(c->err, -ENOMEM, "OpenAPI document");
}

/* --- keywords --- */

static const struct {
	const char *name;
	enum schema_type type;
	const char *words;
} types[] = {
	{ "null", TYPE_NULL, "null" },
	{ "boolean", TYPE_BOOLEAN, "true or false" },
	{ "integer", TYPE_INTEGER, "a whole number" },
	{ "number", TYPE_NUMBER, "a number" },
	{ "string", TYPE_STRING, "a string" },
	{ "array", TYPE_ARRAY, "an array" },
	{ "object", TYPE_OBJECT, "an object" },
};

void schema_type_words(unsigned int mask, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(types) && len < size; i++) {
		if (!(mask & types[i].type))
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " or " : "",
					types[i].words);
	}
}

static int add_type(struct compiler *c, const json_t *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!json_is_string(name) || !streq(json_string_value(name), types[i].name))
			continue;
		c->s->types |= types[i].type;
		return 0;
	}
	return fail(c, "unknown type");
}

static int kw_type(struct compiler *c, const json_t *v)
{
	size_t i;
	json_t *item;

	if (!json_is_array(v))
		return add_type(c, v);
	json_array_foreach (v, i, item) {
		int r = add_type(c, item);

		if (r < 0)
			return r;
	}
	return 0;
}

static int kw_ref(struct compiler *c, const json_t *v)
{
	const char *target = json_string_value(v);
	const json_t *node = c->set->root;
	autofree char *path = NULL;
	struct schema_ref *ref;
	char *save = NULL;

	if (!target || !str_has_prefix(target, "#/"))
		return fail(c, "$ref must begin with #/");
	for (ref = c->set->refs; ref; ref = ref->next) {
		if (!streq(ref->target, target))
			continue;
		c->s->ref = ref->schema;
		return 0;
	}
	path = strdup(target + 2);
	if (!path)
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	for (char *step = strtok_r(path, "/", &save); step; step = strtok_r(NULL, "/", &save))
		node = json_object_get(node, step);
	if (!node)
		return fail(c, "$ref points to nothing");
	ref = calloc(1, sizeof(*ref));
	if (ref)
		ref->target = schema_keep_text(c->set, target);
	if (!ref || !ref->target) {
		free(ref);
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	}
	ref->next = c->set->refs;
	c->set->refs = ref;
	/* schema_compile() fills its output before it reads keywords, so that a cycle ends here. */
	if (schema_compile(c->set, node, target, &ref->schema, c->err) < 0)
		return error_to_errno(c->err);
	c->s->ref = ref->schema;
	return 0;
}

static int keep_value(struct compiler *c, const json_t *v, const json_t **ret_value)
{
	if (json_array_append(c->set->values, (json_t *)(uintptr_t)v) < 0)
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	*ret_value = v;
	return 0;
}

static int kw_enum(struct compiler *c, const json_t *v)
{
	return json_array_size(v) ? keep_value(c, v, &c->s->one_of_values)
				  : fail(c, "enum must list values");
}

static int kw_const(struct compiler *c, const json_t *v)
{
	return keep_value(c, v, &c->s->constant);
}

static int number(struct compiler *c, const json_t *v, double *ret)
{
	if (!json_is_number(v))
		return fail(c, "a limit must be a number");
	*ret = json_number_value(v);
	return 0;
}

static int kw_minimum(struct compiler *c, const json_t *v)
{
	return number(c, v, &c->s->minimum);
}

static int kw_maximum(struct compiler *c, const json_t *v)
{
	return number(c, v, &c->s->maximum);
}

static int count(struct compiler *c, const json_t *v, size_t *ret)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return fail(c, "a count must be a whole number from 0");
	*ret = (size_t)json_integer_value(v);
	return 0;
}

static int kw_min_length(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->min_length);
}

static int kw_max_length(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->max_length);
}

static int kw_min_items(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->min_items);
}

static int kw_max_items(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->max_items);
}

static int kw_min_properties(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->min_properties);
}

static int kw_max_properties(struct compiler *c, const json_t *v)
{
	return count(c, v, &c->s->max_properties);
}

static int kw_pattern(struct compiler *c, const json_t *v)
{
	const char *text = json_string_value(v);

	if (!text)
		return fail(c, "pattern must be a string");
	for (const char *p = strchr(text, '\\'); p; p = strchr(p + 2, '\\'))
		if (!p[1] || strchr("dDwWsSbBnrtu", p[1]))
			return fail(c, "pattern has an escape that POSIX does not know");
	if (regcomp(&c->s->pattern, text, REG_EXTENDED | REG_NOSUB) != 0)
		return fail(c, "pattern is not an extended regular expression");
	c->s->has_pattern = true;
	return keep_text(c, text, &c->s->pattern_text);
}

static int kw_format(struct compiler *c, const json_t *v)
{
	static const struct {
		const char *name;
		enum schema_format format;
	} formats[] = {
		{ "date-time", FORMAT_DATE_TIME },
		{ "int32", FORMAT_INT32 },
		{ "int64", FORMAT_INT64 },
		{ "binary", FORMAT_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (!json_is_string(v) || !streq(json_string_value(v), formats[i].name))
			continue;
		c->s->format = formats[i].format;
		return 0;
	}
	return fail(c, "unknown format");
}

static int kw_items(struct compiler *c, const json_t *v)
{
	return sub_schema(c, v, "items", &c->s->items);
}

static int kw_property_names(struct compiler *c, const json_t *v)
{
	return sub_schema(c, v, "propertyNames", &c->s->property_names);
}

static int kw_additional(struct compiler *c, const json_t *v)
{
	if (json_is_boolean(v)) {
		c->s->closed = json_is_false(v);
		return 0;
	}
	return sub_schema(c, v, "additionalProperties", &c->s->additional);
}

static int list(struct compiler *c, const json_t *v, const char *name, struct schema_list *ret)
{
	size_t i;
	json_t *item;

	if (!json_array_size(v))
		return fail(c, "expected an array of schemas");
	ret->items = calloc(json_array_size(v), sizeof(struct schema *));
	if (!ret->items)
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	json_array_foreach (v, i, item) {
		char step[64];
		int r;

		(void)snprintf(step, sizeof(step), "%s/%zu", name, i);
		r = sub_schema(c, item, step, &ret->items[i]);
		if (r < 0)
			return r;
		ret->n = i + 1;
	}
	return 0;
}

static int kw_one_of(struct compiler *c, const json_t *v)
{
	return list(c, v, "oneOf", &c->s->one_of);
}

static int kw_any_of(struct compiler *c, const json_t *v)
{
	return list(c, v, "anyOf", &c->s->any_of);
}

static int kw_all_of(struct compiler *c, const json_t *v)
{
	return list(c, v, "allOf", &c->s->all_of);
}

static int kw_dependent_required(struct compiler *c, const json_t *v)
{
	size_t n = 0;
	size_t i;
	const char *name;
	json_t *list_of;
	json_t *needs;
	int r;

	json_object_foreach ((json_t *)(uintptr_t)v, name, list_of)
		n += json_array_size(list_of);
	if (!n)
		return fail(c, "dependentRequired must be an object of arrays");
	c->s->dependents = calloc(n, sizeof(*c->s->dependents));
	if (!c->s->dependents)
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	json_object_foreach ((json_t *)(uintptr_t)v, name, list_of) {
		json_array_foreach (list_of, i, needs) {
			struct schema_dependent *d = &c->s->dependents[c->s->n_dependents];

			if (!json_is_string(needs))
				return fail(c, "dependentRequired must name properties");
			r = keep_text(c, name, &d->name);
			if (r == 0)
				r = keep_text(c, json_string_value(needs), &d->needs);
			if (r < 0)
				return r;
			c->s->n_dependents++;
		}
	}
	return 0;
}

static int kw_remedy(struct compiler *c, const json_t *v)
{
	return json_is_string(v) ? keep_text(c, json_string_value(v), &c->s->remedy)
				 : fail(c, "x-banger-remedy must be a string");
}

/* Says something to readers only, or is read elsewhere (properties and required, together). */
static int kw_nothing(struct compiler *c, const json_t *v)
{
	(void)c;
	(void)v;
	return 0;
}

static const struct {
	const char *name;
	int (*compile)(struct compiler *c, const json_t *v);
} keywords[] = {
	{ "type", kw_type },
	{ "$ref", kw_ref },
	{ "enum", kw_enum },
	{ "const", kw_const },
	{ "minimum", kw_minimum },
	{ "maximum", kw_maximum },
	{ "minLength", kw_min_length },
	{ "maxLength", kw_max_length },
	{ "minItems", kw_min_items },
	{ "maxItems", kw_max_items },
	{ "minProperties", kw_min_properties },
	{ "maxProperties", kw_max_properties },
	{ "pattern", kw_pattern },
	{ "format", kw_format },
	{ "items", kw_items },
	{ "propertyNames", kw_property_names },
	{ "additionalProperties", kw_additional },
	{ "oneOf", kw_one_of },
	{ "anyOf", kw_any_of },
	{ "allOf", kw_all_of },
	{ "dependentRequired", kw_dependent_required },
	{ "x-banger-remedy", kw_remedy },
	{ "properties", kw_nothing },
	{ "required", kw_nothing },
	{ "title", kw_nothing },
	{ "description", kw_nothing },
	{ "default", kw_nothing },
	{ "examples", kw_nothing },
	{ "deprecated", kw_nothing },
	{ "readOnly", kw_nothing },
	{ "contentMediaType", kw_nothing },
};

/* --- properties --- */

static int by_name(const void *a, const void *b)
{
	const struct schema_property *pa = a;
	const struct schema_property *pb = b;

	return strcmp(pa->name, pb->name);
}

const struct schema_property *schema_property(const struct schema *s, const char *name)
{
	struct schema_property key = { .name = name };

	if (!s->n_properties)
		return NULL;
	return bsearch(&key, s->properties, s->n_properties, sizeof(key), by_name);
}

static int require(struct compiler *c, const json_t *required)
{
	size_t i;
	json_t *name;

	json_array_foreach (required, i, name) {
		struct schema_property *p;
		struct schema_property key = { .name = json_string_value(name) };

		p = key.name && c->s->n_properties
			    ? bsearch(&key, c->s->properties, c->s->n_properties, sizeof(key),
				      by_name)
			    : NULL;
		if (!p)
			return fail(c, "required names a property that is not described");
		p->required = true;
		c->s->n_required++;
	}
	return 0;
}

static int compile_properties(struct compiler *c, const json_t *node)
{
	const json_t *properties = json_object_get(node, "properties");
	const json_t *required = json_object_get(node, "required");
	const char *name;
	json_t *value;

	if (!properties)
		return require(c, required);
	c->s->properties = calloc(json_object_size(properties) + 1, sizeof(*c->s->properties));
	if (!c->s->properties)
		return error_errno(c->err, -ENOMEM, "OpenAPI document");
	json_object_foreach ((json_t *)(uintptr_t)properties, name, value) {
		struct schema_property *p = &c->s->properties[c->s->n_properties];
		int r;

		r = keep_text(c, name, &p->name);
		if (r == 0)
			r = sub_schema(c, value, name, &p->schema);
		if (r < 0)
			return r;
		c->s->n_properties++;
	}
	qsort(c->s->properties, c->s->n_properties, sizeof(*c->s->properties), by_name);
	return require(c, required);
}

/* --- all of it --- */

static int compile_keyword(struct compiler *c, const char *name, const json_t *value)
{
	char what[128];

	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (streq(keywords[i].name, name))
			return keywords[i].compile(c, value);
	(void)snprintf(what, sizeof(what), "the validator does not know the keyword %.64s", name);
	return fail(c, what);
}

int schema_compile(struct schema_set *set, const json_t *node, const char *where,
		   const struct schema **ret_schema, struct error *err)
{
	struct schema *s = calloc(1, sizeof(*s));
	struct compiler c = { .set = set, .s = s, .where = where, .err = err };
	const char *name;
	json_t *value;
	int r;

	if (!s)
		return error_errno(err, -ENOMEM, "OpenAPI document");
	*s = (struct schema){
		.next = set->first,
		.minimum = -DBL_MAX,
		.maximum = DBL_MAX,
		.max_length = SIZE_MAX,
		.max_items = SIZE_MAX,
		.max_properties = SIZE_MAX,
	};
	set->first = s;
	*ret_schema = s;
	if (!json_is_object(node))
		return fail(&c, "a schema must be an object");
	json_object_foreach ((json_t *)(uintptr_t)node, name, value) {
		r = compile_keyword(&c, name, value);
		if (r < 0)
			return r;
	}
	r = compile_properties(&c, node);
	if (r < 0)
		return r;
	if (s->has_pattern && s->max_length > PATTERN_INPUT_MAX)
		return fail(&c, "pattern wants a maxLength of at most 4096");
	return 0;
}

int schema_set_new(const json_t *root, struct schema_set **ret_set)
{
	struct schema_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->root = root;
	set->texts = json_object();
	set->values = json_array();
	if (!set->texts || !set->values) {
		schema_set_free(set);
		return -ENOMEM;
	}
	*ret_set = set;
	return 0;
}

const char *schema_keep_text(struct schema_set *set, const char *text)
{
	if (!text || json_object_set_new(set->texts, text, json_null()) < 0)
		return NULL;
	return json_object_iter_key(json_object_iter_at(set->texts, text));
}

void schema_set_free(struct schema_set *set)
{
	if (!set)
		return;
	while (set->first) {
		struct schema *s = set->first;

		set->first = s->next;
		if (s->has_pattern)
			regfree(&s->pattern);
		free(s->properties);
		free(s->dependents);
		free(s->one_of.items);
		free(s->any_of.items);
		free(s->all_of.items);
		free(s);
	}
	while (set->refs) {
		struct schema_ref *ref = set->refs;

		set->refs = ref->next;
		free(ref);
	}
	json_decref(set->texts);
	json_decref(set->values);
	free(set);
}
