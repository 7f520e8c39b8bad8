/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says of itself: passed on where it has the right form, and nothing else of it. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/macro.h"
#include "lib/json/json.h"
#include "server/vm/guest_stats.h"

static json_t *stats(const char *said)
{
	struct error err;
	json_auto_t *o = json_parse(said, strlen(said), &err);

	assert_non_null(o);
	return guest_stats_json(o, 1000000000, 1000200000);
}

static void figures_are_passed_on(void **state)
{
	json_auto_t *o =
		stats("{\"cpus\": 2, \"memory_total_bytes\": 5, \"load\": [0.5, 1, 2.25], "
		      "\"processes\": 9,"
		      " \"realtime_us\": 1000600000,"
		      " \"network\": [{\"name\": \"eth0\", \"rx_bytes\": 1, \"tx_bytes\": 2}]}");
	const json_t *network = json_array_get(json_object_get(o, "networks"), 0);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(o, "cpus")), 2);
	assert_int_equal(json_integer_value(json_object_get(o, "processes")), 9);
	assert_int_equal(json_array_size(json_object_get(o, "load")), 3);
	assert_string_equal(json_string_value(json_object_get(network, "name")), "eth0");
	assert_int_equal(json_integer_value(json_object_get(network, "sent_bytes")), 2);
	/* Half of what the answer took has passed when the guest looked. */
	assert_int_equal(json_integer_value(json_object_get(o, "clock_off_ms")), 500);
	assert_string_equal(json_string_value(json_object_get(o, "at")),
			    "1970-01-01T00:16:40.200Z");
}

/* Every value of the reply stays what the document says, and its size is bounded. */
static void nonsense_is_left_out(void **state)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"\"x\"",
		"{\"cpus\": -1, \"processes\": \"9\", \"load\": [1, 2], \"network\": {}}",
		"{\"cpus\": 9007199254740993, \"load\": [1, 2, -3], \"network\": [1, null, {}]}",
		"{\"load\": [1, 2, 1e300], \"network\": [{\"name\": 5}]}",
		"{\"realtime_us\": -5, \"network\": [{\"name\":"
		" \"0123456789012345678901234567890123456789\"}]}",
		"{\"uptime_us\": 1.5, \"disk_free_bytes\": true, \"unknown\": 1}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *o = stats(cases[i]);

		assert_int_equal(json_object_size(o), 2);
		assert_non_null(json_object_get(o, "at"));
		assert_int_equal(json_array_size(json_object_get(o, "networks")), 0);
	}
}

static void networks_are_bounded(void **state)
{
	json_auto_t *said = json_object();
	json_t *list = json_array();
	json_auto_t *o = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++)
		(void)json_array_append_new(list, json_pack("{s:s}", "name", "e"));
	(void)json_object_set_new(said, "network", list);
	o = guest_stats_json(said, 0, 0);
	assert_int_equal(json_array_size(json_object_get(o, "networks")), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_passed_on),
		cmocka_unit_test(nonsense_is_left_out),
		cmocka_unit_test(networks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
