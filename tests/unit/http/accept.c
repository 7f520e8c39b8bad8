/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/accept.h"

#include "lib/base/macro.h"
#include "tests/unit/test.h"

static void test_best(void **state)
{
	static const char *const offered[] = { "application/json", "application/x-ndjson",
					       "text/plain" };
	static const struct {
		const char *accept;
		int want;
	} rows[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "*/*", 0 },
		{ "text/plain", 2 },
		{ "TEXT/Plain", 2 },
		{ "text/*", 2 },
		{ "application/*", 0 },
		{ "application/x-ndjson", 1 },
		{ "text/html", -1 },
		{ "text/html, */*;q=0.1", 0 },
		{ "application/json;q=0.5, text/plain;q=0.6", 2 },
		{ "application/json;q=0, */*", 1 },
		{ "text/plain;q=0", -1 },
		{ "text/plain ; charset=utf-8 ; q=0.9 , application/json;q=0.1", 2 },
		{ "*/*;q=0.1, text/plain;q=0.001", 0 },
		{ ",,,;q=,*/", -1 },
		{ "text/plain;q=1.000", 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int got = accept_best(rows[i].accept, offered, ARRAY_SIZE(offered));

		if (got != rows[i].want)
			fail_msg("%s: %d", rows[i].accept, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_best) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
