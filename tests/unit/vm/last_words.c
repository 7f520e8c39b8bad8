/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/last_words.h"

#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/test.h"

static void test_words(void **state)
{
	static const struct {
		const char *log;
		bool goodbye;
		bool reboot;
		const char *why; /* NULL: no panic */
	} rows[] = {
		{ "", false, false, NULL },
		{ "\r\n", false, false, NULL },
		{ "login:", false, false, NULL },
		{ "a\r\n[    2.5] reboot: Power down\r\n\r\n", true, false, NULL },
		{ "reboot: Restarting system", true, true, NULL },
		{ "reboot: Restarting system\r\nreboot: Power down\r\n", true, false, NULL },
		{ "reboot: Power down\r\nmore\r\n", false, false, NULL },
		{ "x\r\n[    0.71] Kernel panic - not syncing: System is deadlocked on memory\r\n"
		  "[    0.72] CPU: 0 PID: 1\r\n",
		  false, false, "System is deadlocked on memory" },
		{ "Kernel panic - not syncing: ", false, false, "" },
		{ "Kernel panic - not sync", false, false, "not sync" },
		{ "Kernel panic - a\x1b[31m\xff\n", false, false, "a?[31m?" },
		{ "Kernel panic - 0123456789012345678901234567890123456789012345", false, false,
		  "012345678901234567890123456789012345678" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].log);
		char why[40] = "untouched";

		assert_int_equal(last_words_goodbye(rows[i].log, len), rows[i].goodbye);
		assert_int_equal(last_words_reboot(rows[i].log, len), rows[i].reboot);
		assert_int_equal(last_words_panic(rows[i].log, len, why, sizeof(why)),
				 rows[i].why != NULL);
		assert_string_equal(why, rows[i].why ? rows[i].why : "untouched");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
