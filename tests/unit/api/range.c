/* SPDX-License-Identifier: Apache-2.0 */
/* The Range header: which part of a file it means, and when it means none. */
#include "tests/unit/test.h"

#include "lib/base/macro.h"
#include "server/api/range.h"

static void ranges_are_placed_in_a_file(void **state)
{
	static const struct {
		const char *header;
		uint64_t size, from, length; /* length 0: no byte of it */
	} cases[] = {
		{ "bytes=0-99", 1000, 0, 100 },
		{ "bytes=0-0", 1, 0, 1 },
		{ "bytes=900-", 1000, 900, 100 },
		{ "bytes=900-2000", 1000, 900, 100 },
		{ "bytes=-10", 1000, 990, 10 },
		{ "bytes=-5000", 1000, 0, 1000 },
		{ "bytes=-0", 1000, 0, 0 },
		{ "bytes=1000-", 1000, 0, 0 },
		{ "bytes=0-", 0, 0, 0 },
		{ "bytes=-1", 0, 0, 0 },
		{ "bytes=0-18446744073709551615", 10, 0, 10 },
		{ "bytes=0-99999999999999999999999999", 10, 0, 10 },
		{ "bytes=99999999999999999999999999-", 10, 0, 0 },
		{ "bytes=-99999999999999999999999999", 10, 0, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_range range = { .offset = 77 };
		uint64_t from = 0, length = 0;
		bool there;

		assert_true(api_range_parse(cases[i].header, &range));
		there = api_range_place(&range, cases[i].size, &from, &length);
		assert_int_equal(there, cases[i].length > 0);
		assert_int_equal(from, cases[i].from);
		assert_int_equal(length, cases[i].length);
	}
}

static void what_can_be_ignored_is(void **state)
{
	static const char *const cases[] = {
		NULL,         "",          "bytes=",     "bytes",         "bytes=-",
		"bytes=a-b",  "bytes=5-4", "bytes=1-2,", "bytes=1-2,4-5", "bytes=1-2 ",
		"bytes= 1-2", "lines=1-2", "bytes=--1",  "bytes=1",       "bytes=+1-2",
		"bytes=-1-2", "Bytes 1-2", "bytes=0x1-2"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_range range = { .offset = 77, .length = 78 };

		assert_false(api_range_parse(cases[i], &range));
		assert_int_equal(range.offset, 77);
		assert_int_equal(range.length, 78);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_placed_in_a_file),
		cmocka_unit_test(what_can_be_ignored_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
