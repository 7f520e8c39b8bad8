/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/schema.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

struct row {
	const char *schema;
	const char *value;
	const char *pointer; /* NULL: valid */
	const char *detail;  /* how the first complaint begins */
};

#define FORMS                                                                               \
	"{\"type\":\"object\",\"oneOf\":[{\"required\":[\"a\"],\"properties\":{\"a\":{}}}," \
	"{\"required\":[\"b\"],\"properties\":{\"b\":{\"type\":\"string\"}}}]}"

static const struct row rows[] = {
	{ "{\"type\":\"string\"}", "\"x\"", NULL, NULL },
	{ "{\"type\":\"string\"}", "1", "", "must be a string" },
	{ "{\"type\":[\"integer\",\"null\"]}", "null", NULL, NULL },
	{ "{\"type\":[\"integer\",\"null\"]}", "\"3\"", "", "must be null or a whole number" },
	{ "{\"type\":\"integer\"}", "1.0", "", "must be a whole number" },
	{ "{\"type\":\"integer\"}", "1e3", "", "must be a whole number" },
	{ "{\"type\":\"number\"}", "1.5", NULL, NULL },
	{ "{\"type\":\"integer\",\"minimum\":1,\"maximum\":64}", "1", NULL, NULL },
	{ "{\"type\":\"integer\",\"minimum\":1,\"maximum\":64}", "64", NULL, NULL },
	{ "{\"type\":\"integer\",\"minimum\":1,\"maximum\":64}", "0", "", "must be at least 1" },
	{ "{\"type\":\"integer\",\"minimum\":1,\"maximum\":64}", "65", "", "must be at most 64" },
	{ "{\"type\":\"integer\",\"format\":\"int32\"}", "2147483648", "", "must fit into 32" },
	{ "{\"type\":\"string\",\"maxLength\":3}", "\"äöü\"", NULL, NULL },
	{ "{\"type\":\"string\",\"maxLength\":3}", "\"äöüx\"", "", "must have at most 3" },
	{ "{\"type\":\"string\",\"minLength\":1}", "\"\"", "", "must not be empty" },
	{ "{\"type\":\"string\",\"maxLength\":9,\"pattern\":\"^[a-z]+$\"}", "\"abc\"", NULL, NULL },
	{ "{\"type\":\"string\",\"maxLength\":9,\"pattern\":\"^[a-z]+$\"}", "\"ab\\n\"", "",
	  "must match" },
	{ "{\"enum\":[\"a\",1]}", "1", NULL, NULL },
	{ "{\"enum\":[\"a\",1]}", "\"b\"", "", "must be one of \"a\", 1" },
	{ "{\"const\":\"ok\"}", "\"no\"", "", "must be \"ok\"" },
	{ "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2026-01-31T12:00:00.123Z\"", NULL,
	  NULL },
	{ "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2026-01-31T12:00:00+01:00\"", NULL,
	  NULL },
	{ "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2026-01-31\"", "",
	  "must be a date" },
	{ "{\"type\":\"array\",\"minItems\":1,\"maxItems\":2,\"items\":{\"type\":\"integer\"}}",
	  "[1,2]", NULL, NULL },
	{ "{\"type\":\"array\",\"minItems\":1}", "[]", "", "must have at least 1 item" },
	{ "{\"type\":\"array\",\"maxItems\":2}", "[1,2,3]", "", "must have at most 2 items" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", "[1,\"x\"]", "/1",
	  "must be a whole number" },
	{ "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"vcpus\":{}}}",
	  "{\"vcpu\":1}", "/vcpu", "there is no such field" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{}},\"required\":[\"a\"]}", "{}", "/a",
	  "is required" },
	{ "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "{\"a/b~c\":1}",
	  "/a~1b~0c", "must be a string" },
	{ "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":1}}", "{\"ab\":1}", "/ab",
	  "must have at most 1" },
	{ "{\"type\":\"object\",\"maxProperties\":1}", "{\"a\":1,\"b\":2}", "",
	  "must have at most" },
	{ "{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", "4", "", "must be at most 3" },
	{ "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "3", NULL, NULL },
	{ "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "null", "", "must be" },
	{ "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "3", "", "fits more than" },
	{ FORMS, "{\"a\":1}", NULL, NULL },
	{ FORMS, "{}", "", "one of a, b is required" },
	{ FORMS, "{\"a\":1,\"b\":\"\"}", "/b", "can't stand beside a" },
	{ FORMS, "{\"b\":1}", "/b", "must be a string" },
	{ "{\"type\":\"object\",\"dependentRequired\":{\"sum\":[\"url\"]}}", "{\"sum\":1}", "/url",
	  "is required with sum" },
	{ "{\"type\":\"object\",\"dependentRequired\":{\"sum\":[\"url\"]}}",
	  "{\"sum\":1,\"url\":2}", NULL, NULL },
	{ "{\"$ref\":\"#/defs/tree\"}", "{\"kids\":[{\"kids\":[]}]}", NULL, NULL },
	{ "{\"$ref\":\"#/defs/tree\"}", "{\"kids\":[{\"kids\":[3]}]}", "/kids/0/kids/0",
	  "must be an object" },
};

static const char root_text[] =
	"{\"defs\":{\"tree\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":"
	"{\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/defs/tree\"}}}}}}";

static json_t *load(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void check_row(const struct row *row)
{
	json_auto_t *root = load(root_text);
	json_auto_t *node = load(row->schema);
	json_auto_t *value = load(row->value);
	struct violations v = { 0 };
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;
	const json_t *first;

	assert_int_equal(schema_set_new(root, &set), 0);
	assert_int_equal(schema_compile(set, node, "test", &s, &err), 0);
	assert_int_equal(schema_validate(s, value, &v), row->pointer == NULL);
	first = json_array_get(v.list, 0);
	if (row->pointer) {
		const char *detail = json_string_value(json_object_get(first, "detail"));

		assert_string_equal(json_string_value(json_object_get(first, "pointer")),
				    row->pointer);
		if (!str_has_prefix(detail, row->detail))
			fail_msg("%s with %s: %s", row->schema, row->value, detail);
	} else {
		assert_null(first);
	}
	violations_done(&v);
	schema_set_free(set);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void check_refused(const char *text, const char *why)
{
	json_auto_t *root = load(root_text);
	json_auto_t *node = load(text);
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;

	assert_int_equal(schema_set_new(root, &set), 0);
	assert_true(schema_compile(set, node, "test", &s, &err) < 0);
	if (!strstr(err.msg, why))
		fail_msg("%s: %s", text, err.msg);
	schema_set_free(set);
}

/* What the validator would not apply must not stand in the document. */
static void test_compile_refuses(void **state)
{
	(void)state;
	check_refused("{\"multipleOf\":2}", "keyword multipleOf");
	check_refused("{\"type\":\"text\"}", "unknown type");
	check_refused("{\"format\":\"uuid\"}", "unknown format");
	check_refused("{\"pattern\":\"^a$\"}", "maxLength");
	check_refused("{\"pattern\":\"^\\\\d$\",\"maxLength\":3}", "escape");
	check_refused("{\"pattern\":\"(\",\"maxLength\":3}", "regular expression");
	check_refused("{\"$ref\":\"#/defs/none\"}", "points to nothing");
	check_refused("{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", "required names");
	check_refused("{\"properties\":{\"a\":{\"minimum\":\"x\"}}}", "test/a");
}

/* All errors at once, but not without end; each names its place. */
static void test_all_errors(void **state)
{
	json_auto_t *node = load("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
	json_auto_t *value = json_array();
	struct violations v = { 0 };
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(json_array_append_new(value, json_integer(i)), 0);
	assert_int_equal(schema_set_new(node, &set), 0);
	assert_int_equal(schema_compile(set, node, "test", &s, &err), 0);
	assert_false(schema_validate(s, value, &v));
	assert_int_equal(v.count, 100);
	assert_int_equal(json_array_size(v.list), VIOLATIONS_MAX);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(v.list, VIOLATIONS_MAX - 1), "pointer")),
			    "/31");
	violations_done(&v);
	schema_set_free(set);
}

static const char *first_remedy(const char *schema, const char *value)
{
	static char remedy[512];
	json_auto_t *node = load(schema);
	json_auto_t *json = load(value);
	struct violations v = { 0 };
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;
	const char *text;

	assert_int_equal(schema_set_new(node, &set), 0);
	assert_int_equal(schema_compile(set, node, "test", &s, &err), 0);
	assert_false(schema_validate(s, json, &v));
	text = json_string_value(json_object_get(json_array_get(v.list, 0), "remedy"));
	(void)snprintf(remedy, sizeof(remedy), "%s", text ? text : "");
	violations_done(&v);
	schema_set_free(set);
	return remedy;
}

static void test_remedies(void **state)
{
	static const char object[] = "{\"type\":\"object\",\"additionalProperties\":false,"
				     "\"properties\":{\"memory_mib\":{},\"vcpus\":{}}}";

	(void)state;
	assert_string_equal(first_remedy(object, "{\"memory\":1}"), "Did you mean memory_mib?");
	assert_string_equal(first_remedy(object, "{\"vcpu\":1}"), "Did you mean vcpus?");
	/* More of it would have to change than stay. */
	assert_true(str_has_prefix(first_remedy(object, "{\"vabcs\":1}"), "Known fields: "));
	assert_string_equal(first_remedy(object, "{\"zzzzzz\":1}"),
			    "Known fields: memory_mib, vcpus");
	assert_string_equal(
		first_remedy("{\"type\":\"string\",\"x-banger-remedy\":\"Try x.\"}", "1"),
		"Try x.");
}

/* A hostile name neither overflows the pointer nor breaks the reply's UTF-8. */
static void test_long_names(void **state)
{
	json_auto_t *node = load("{\"type\":\"object\",\"additionalProperties\":false}");
	json_auto_t *value = json_object();
	autofree char *name = malloc(100001);
	autofree char *text = NULL;
	struct violations v = { 0 };
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;

	(void)state;
	for (size_t i = 0; i < 100000; i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	name[100000] = '\0';
	assert_int_equal(json_object_set_new(value, name, json_null()), 0);
	assert_int_equal(schema_set_new(node, &set), 0);
	assert_int_equal(schema_compile(set, node, "test", &s, &err), 0);
	assert_false(schema_validate(s, value, &v));
	text = json_dumps(v.list, 0);
	assert_non_null(text);
	assert_true(strlen(text) < 1000);
	violations_done(&v);
	schema_set_free(set);
}

static void check_text(const char *schema, const char *text, const char *want)
{
	json_auto_t *node = load(schema);
	json_auto_t *value = NULL;
	autofree char *got = NULL;
	struct error err = ERROR_INIT;
	struct schema_set *set = NULL;
	const struct schema *s = NULL;

	assert_int_equal(schema_set_new(node, &set), 0);
	assert_int_equal(schema_compile(set, node, "test", &s, &err), 0);
	value = schema_parse_text(s, text);
	got = json_dumps(value, JSON_ENCODE_ANY);
	assert_string_equal(got, want);
	schema_set_free(set);
}

static void test_parse_text(void **state)
{
	(void)state;
	check_text("{\"type\":\"integer\"}", "42", "42");
	check_text("{\"type\":\"integer\"}", "-1", "-1");
	check_text("{\"type\":\"integer\"}", "042", "\"042\"");
	check_text("{\"type\":\"integer\"}", " 42", "\" 42\"");
	check_text("{\"type\":\"integer\"}", "42x", "\"42x\"");
	check_text("{\"type\":\"integer\"}", "", "\"\"");
	check_text("{\"type\":\"integer\"}", "99999999999999999999", "\"99999999999999999999\"");
	check_text("{\"type\":\"boolean\"}", "true", "true");
	check_text("{\"type\":\"boolean\"}", "0", "false");
	check_text("{\"type\":\"boolean\"}", "yes", "\"yes\"");
	check_text("{\"type\":\"string\"}", "42", "\"42\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),       cmocka_unit_test(test_compile_refuses),
		cmocka_unit_test(test_all_errors), cmocka_unit_test(test_remedies),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_parse_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
