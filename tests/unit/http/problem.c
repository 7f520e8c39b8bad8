/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/problem.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

/* Every code has a name, a page, and comes back from its name. */
static void test_catalogue(void **state)
{
	(void)state;
	for (unsigned int i = ERR_NONE + 1; i < ERROR_CODE_MAX_; i++) {
		const struct problem_kind *kind = problem_kind((enum error_code)i);
		autofree char *page = problem_page((enum error_code)i);

		assert_int_equal(problem_code_parse(error_code_name((enum error_code)i)), i);
		assert_in_range(kind->status, 400, 599);
		assert_non_null(strstr(page, kind->remedy));
	}
	assert_int_equal(problem_code_parse("none"), ERROR_CODE_MAX_);
	assert_int_equal(problem_code_parse("nonsense"), ERROR_CODE_MAX_);
}

static void test_document(void **state)
{
	json_auto_t *errors = json_pack("[{s:s, s:s}]", "pointer", "/vcpus", "detail", "is wrong");
	struct error err = ERROR_INIT;
	json_t *problem;
	char *text;

	(void)state;
	(void)error_set(&err, ERR_INVALID, "1 value is not acceptable");
	problem = problem_to_json(&err, "0123456789abcdef", errors, true);
	assert_string_equal(json_string_value(json_object_get(problem, "type")),
			    "/problems/invalid");
	assert_int_equal(json_integer_value(json_object_get(problem, "status")), 422);
	assert_string_equal(json_string_value(json_object_get(problem, "operation")),
			    "0123456789abcdef");
	assert_true(json_is_true(json_object_get(problem, "truncated")));
	text = problem_to_text(problem);
	assert_non_null(strstr(text, "1 value is not acceptable\n  /vcpus: is wrong\n"));
	assert_non_null(strstr(text, "operation 0123456789abcdef\n"));
	free(text);
	json_decref(problem);
}

static void test_remedy(void **state)
{
	struct error err = ERROR_INIT;
	json_t *problem;

	(void)state;
	(void)error_set(&err, ERR_TOO_LARGE, "layer 2 of 2: more than 1000000 names");
	problem = problem_to_json(&err, NULL, NULL, false);
	assert_string_equal(json_string_value(json_object_get(problem, "remedy")),
			    problem_kind(ERR_TOO_LARGE)->remedy);
	json_decref(problem);
	(void)error_advise(&err, "Take a smaller image.");
	problem = problem_to_json(&err, NULL, NULL, false);
	assert_string_equal(json_string_value(json_object_get(problem, "remedy")),
			    "Take a smaller image.");
	json_decref(problem);
}

/* Bytes of a guest in the message must not lose the whole reply. */
static void test_bad_bytes(void **state)
{
	struct error err = ERROR_INIT;
	json_t *problem;

	(void)state;
	(void)error_set(&err, ERR_GUEST, "said \xff\xfe");
	problem = problem_to_json(&err, NULL, NULL, false);
	assert_string_equal(json_string_value(json_object_get(problem, "detail")), "said ??");
	json_decref(problem);
}

static void assert_entry(enum error_code code, const char *msg, const char *key, const char *value)
{
	struct error err = ERROR_INIT;
	json_auto_t *problem = NULL;
	const json_t *entry;

	(void)error_set(&err, code, "%s", msg);
	problem = problem_to_json(&err, NULL, NULL, false);
	entry = json_array_get(json_object_get(problem, "errors"), 0);
	if (!key) {
		assert_null(entry);
		return;
	}
	assert_string_equal(json_string_value(json_object_get(entry, key)), value);
	assert_string_equal(json_string_value(json_object_get(entry, "detail")), "is wrong");
}

/* A message says which field or parameter it is about. */
static void test_what_it_is_about(void **state)
{
	(void)state;
	assert_entry(ERR_INVALID, "/files/0/path: is wrong", "pointer", "/files/0/path");
	assert_entry(ERR_STATE, "/memory_mib: is wrong", "pointer", "/memory_mib");
	assert_entry(ERR_NOT_FOUND, "?path: is wrong", "parameter", "path");
	assert_entry(ERR_NOT_FOUND, "?path: is wrong", "in", "query");
	assert_entry(ERR_INVALID, "is wrong", NULL, NULL);
	assert_entry(ERR_INVALID, "/etc is wrong", NULL, NULL);
	assert_entry(ERR_INVALID, "", NULL, NULL);
	/* Another's words. */
	assert_entry(ERR_INTERNAL, "/dev/kvm: is wrong", NULL, NULL);
	assert_entry(ERR_GUEST, "/etc/passwd: is wrong", NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_catalogue),        cmocka_unit_test(test_document),
		cmocka_unit_test(test_remedy),           cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_what_it_is_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
