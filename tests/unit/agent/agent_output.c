/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/output.h"

#include <errno.h>

#include "lib/link/protocol.h"
#include "tests/unit/test.h"

static void add(struct output *o, const char *text, bool is_stderr)
{
	uint8_t *to = output_reserve(o, strlen(text), is_stderr);

	assert_non_null(to);
	memcpy(to, text, strlen(text));
	output_added(o, strlen(text), is_stderr);
}

static void peek_is(const struct output *o, uint64_t offset, const char *text, bool want_stderr)
{
	const uint8_t *bytes = NULL;
	bool is_stderr = false;
	size_t len = output_peek(o, offset, 1000, &bytes, &is_stderr);

	assert_int_equal(len, strlen(text));
	if (len > 0) {
		assert_memory_equal(bytes, text, len);
		assert_int_equal(is_stderr, want_stderr);
	}
}

static void both_streams_share_one_offset(void **state)
{
	struct output o;

	(void)state;
	output_init(&o);
	add(&o, "one", false);
	add(&o, "two", false);
	add(&o, "oops", true);
	add(&o, "three", false);
	peek_is(&o, 0, "onetwo", false);
	peek_is(&o, 4, "wo", false);
	peek_is(&o, 6, "oops", true);
	peek_is(&o, 9, "s", true);
	peek_is(&o, 10, "three", false);
	peek_is(&o, 15, "", false);
	assert_int_equal(output_end(&o), 15);
	output_done(&o);
}

static void what_is_dropped_is_gone_and_the_rest_stays(void **state)
{
	struct output o;

	(void)state;
	output_init(&o);
	add(&o, "abc", false);
	add(&o, "DEF", true);
	assert_int_equal(output_drop(&o, 7), -ERANGE);
	assert_int_equal(output_drop(&o, 4), 0);
	assert_int_equal(output_drop(&o, 2), 0);
	peek_is(&o, 3, "", false);
	peek_is(&o, 4, "EF", true);
	add(&o, "gh", true);
	peek_is(&o, 4, "EFgh", true);
	assert_int_equal(output_drop(&o, 8), 0);
	add(&o, "i", false);
	peek_is(&o, 8, "i", false);
	output_done(&o);
}

static void the_limits_hold(void **state)
{
	static uint8_t zeros[4096];
	struct output o;
	size_t pieces = 0;

	(void)state;
	output_init(&o);
	while (output_room(&o, false) >= sizeof(zeros)) {
		uint8_t *to = output_reserve(&o, sizeof(zeros), false);

		assert_non_null(to);
		output_added(&o, sizeof(zeros), false);
	}
	assert_int_equal(buf_len(&o.bytes), LINK_EXEC_OUTPUT_MAX);
	assert_int_equal(output_room(&o, true), 0);
	assert_int_equal(output_drop(&o, output_end(&o)), 0);
	/* Single bytes that change streams each time. */
	for (; output_room(&o, pieces % 2) > 0; pieces++)
		add(&o, "x", pieces % 2);
	assert_int_equal(pieces, OUTPUT_PIECES_MAX);
	assert_true(output_room(&o, (pieces - 1) % 2) > 0);
	output_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_streams_share_one_offset),
		cmocka_unit_test(what_is_dropped_is_gone_and_the_rest_stays),
		cmocka_unit_test(the_limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
