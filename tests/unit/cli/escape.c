/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/escape.h"

#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/test.h"

static void keys_are_passed_on_but_ours(void **state)
{
	static const struct {
		const char *keys;
		const char *out;
		enum escape_action action;
	} cases[] = {
		{ "ls\r", "ls\r", ESCAPE_NONE },    { "~.", "", ESCAPE_END },
		{ "~d", "", ESCAPE_LEAVE },         { "ls\r~.more", "ls\r", ESCAPE_END },
		{ "ls\n~d", "ls\n", ESCAPE_LEAVE }, { "~~", "~", ESCAPE_NONE },
		{ "~~.", "~.", ESCAPE_NONE },       { "cd ~\r", "cd ~\r", ESCAPE_NONE },
		{ "a~.", "a~.", ESCAPE_NONE },      { "~x~.", "~x~.", ESCAPE_NONE },
		{ "~\r~.", "~\r", ESCAPE_END },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* At once, and key by key. */
		for (size_t step = 1; step <= strlen(cases[i].keys);
		     step += strlen(cases[i].keys) - 1) {
			enum escape_action action = ESCAPE_NONE;
			struct escape e;
			char out[64] = "";
			size_t n = 0;

			escape_init(&e);
			for (size_t at = 0; at < strlen(cases[i].keys) && action == ESCAPE_NONE;
			     at += step)
				n += escape_feed(&e, cases[i].keys + at,
						 step < strlen(cases[i].keys) - at
							 ? step
							 : strlen(cases[i].keys) - at,
						 out + n, &action);
			out[n] = '\0';
			assert_string_equal(out, cases[i].out);
			assert_int_equal(action, cases[i].action);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(keys_are_passed_on_but_ours) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
