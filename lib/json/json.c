/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/json/json.h"

#include <errno.h>

json_t *json_parse(const char *data, size_t len, struct error *err)
{
	json_error_t je;
	json_t *value;

	if (len > JSON_BYTES_MAX) {
		(void)error_set(err, ERR_TOO_LARGE, "JSON of %zu bytes; at most %d are accepted",
				len, (int)JSON_BYTES_MAX);
		return NULL;
	}
	value = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	/* Without memory jansson fails and finds nothing wrong. */
	if (!value && !je.text[0])
		(void)error_errno(err, -ENOMEM, "read JSON");
	else if (!value)
		(void)error_set(err, ERR_BAD_REQUEST, "not valid JSON at line %d, column %d: %s",
				je.line, je.column, je.text);
	return value;
}

/* 15 digits: every decimal number of that length comes out as it went in. */
#define TEXT_FLAGS (JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

/* Up to here each whole number has a double of its own. */
#define WHOLE_MAX 9007199254740992.0

/* NULL for what is to stay as it is. */
static json_t *whole(const json_t *value)
{
	double x = json_real_value(value);
	double fraction;

	if (!json_is_real(value) || x < -WHOLE_MAX || x > WHOLE_MAX)
		return NULL;
	fraction = x - (double)(json_int_t)x;
	return fraction < 0 || fraction > 0 ? NULL : json_integer((json_int_t)x);
}

/* As deep as json_parse() lets a document be. */
static void make_members_whole(json_t *value)
{
	const char *name;
	json_t *member;
	json_t *integer;
	size_t i;

	json_array_foreach (value, i, member) {
		integer = whole(member);
		if (integer)
			(void)json_array_set_new(value, i, integer);
		else
			make_members_whole(member);
	}
	json_object_foreach (value, name, member) {
		integer = whole(member);
		if (integer)
			(void)json_object_iter_set_new(value, json_object_key_to_iter(name),
						       integer);
		else
			make_members_whole(member);
	}
}

json_t *json_make_whole(json_t *value)
{
	json_t *integer = whole(value);

	if (!integer) {
		make_members_whole(value);
		return value;
	}
	json_decref(value);
	return integer;
}

char *json_text(const json_t *value)
{
	return json_dumps(value, TEXT_FLAGS | JSON_COMPACT);
}

char *json_text_indented(const json_t *value)
{
	return json_dumps(value, TEXT_FLAGS | JSON_INDENT(2));
}

static const struct json_field *find_field(const struct json_field *fields, size_t n,
					   const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(fields[i].name, name))
			return &fields[i];
	return NULL;
}

static const char *const kind_names[] = {
	[JSON_FIELD_STRING] = "a string",           [JSON_FIELD_BOOL] = "true or false",
	[JSON_FIELD_U32] = "a whole number from 0", [JSON_FIELD_I64] = "a whole number",
	[JSON_FIELD_VALUE] = "an array or object",
};

static bool decode_one(const json_t *value, enum json_kind kind, void *out)
{
	switch (kind) {
	case JSON_FIELD_STRING:
		if (!json_is_string(value))
			return false;
		*(const char **)out = json_string_value(value);
		return true;
	case JSON_FIELD_BOOL:
		if (!json_is_boolean(value))
			return false;
		*(bool *)out = json_is_true(value);
		return true;
	case JSON_FIELD_U32:
		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    json_integer_value(value) > UINT32_MAX)
			return false;
		*(uint32_t *)out = (uint32_t)json_integer_value(value);
		return true;
	case JSON_FIELD_I64:
		if (!json_is_integer(value))
			return false;
		*(int64_t *)out = json_integer_value(value);
		return true;
	case JSON_FIELD_VALUE:
		if (!json_is_array(value) && !json_is_object(value))
			return false;
		*(const json_t **)out = value;
		return true;
	}
	return false;
}

int json_decode(const json_t *object, const struct json_field *fields, size_t n_fields,
		void *ret_struct, struct error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return error_set(err, ERR_INVALID, "expected a JSON object");
	json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
		const struct json_field *f = find_field(fields, n_fields, name);

		if (!f)
			return error_set(err, ERR_INVALID, "/%s: no such field", name);
		if (json_is_null(value))
			continue;
		if (!decode_one(value, f->kind, (char *)ret_struct + f->offset))
			return error_set(err, ERR_INVALID, "/%s: must be %s", name,
					 kind_names[f->kind]);
	}
	for (size_t i = 0; i < n_fields; i++) {
		const json_t *v = json_object_get(object, fields[i].name);

		if (fields[i].required && (!v || json_is_null(v)))
			return error_set(err, ERR_INVALID, "/%s: is required", fields[i].name);
	}
	return 0;
}
