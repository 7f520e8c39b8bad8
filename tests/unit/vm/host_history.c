/* SPDX-License-Identifier: Apache-2.0 */
/* The host's history: what the kernel's files say, shares of time, bounds, minutes. */
#include "tests/unit/test.h"

#include <fcntl.h>

#include "lib/base/cleanup.h"
#include "server/vm/host_history.h"

enum { STEP_S = 5, MINUTE_MS = 60 * 1000 };

static struct host_stats read_at(int64_t s, uint64_t cpu_us)
{
	return (struct host_stats){ .mono_us = s * 1000000,
				    .cpu_us = cpu_us,
				    .memory_total_bytes = 8,
				    .memory_available_bytes = 5 };
}

static void add(struct host_history *h, int64_t s, uint64_t cpu_us, uint32_t vms_permille)
{
	struct host_stats now = read_at(s, cpu_us);
	struct host_vms vms = { .n = 2, .cpu_permille = vms_permille };

	host_history_add(h, s * 1000, &now, &vms, MINUTE_MS);
}

static const struct host_sample *sample_at(const struct ring *ring, size_t i)
{
	return ring_at(ring, i);
}

static void busy_time_is_read(void **unused)
{
	const char *stat = "cpu  100 20 30 4000 500 6 7 800 90 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
	uint64_t ticks = 0;

	(void)unused;
	assert_true(host_cpu_ticks(stat, &ticks));
	assert_int_equal(100 + 20 + 30 + 6 + 7, ticks);
	assert_false(host_cpu_ticks("cpu0 1 2 3 4 5 6 7", &ticks));
	assert_false(host_cpu_ticks("cpu  1 2 3", &ticks));
	assert_false(host_cpu_ticks("", &ticks));
	assert_int_equal(163, ticks);
}

static void waits_are_read(void **unused)
{
	struct host_waits waits = { 0 };

	(void)unused;
	assert_true(host_pressure_parse(
		"some avg10=1.50 avg60=0.25 avg300=0.00 total=1\nfull avg10=9.00 avg60=9.00\n",
		&waits));
	assert_true(waits.avg10 > 1.49 && waits.avg10 < 1.51);
	assert_true(waits.avg60 > 0.24 && waits.avg60 < 0.26);
	assert_false(host_pressure_parse("", &waits));
}

static void this_host_is_read(void **unused)
{
	struct host_stats s;
	autoclose int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)unused;
	host_stats_read(dir, &s);
	assert_true(s.cpu_us > 0);
	assert_true(s.memory_total_bytes > s.memory_available_bytes);
	assert_true(s.memory_available_bytes > 0);
	assert_true(s.disk_free_bytes > 0);
}

static void the_share_of_processors_needs_a_sample_shortly_before(void **unused)
{
	struct host_history h;

	(void)unused;
	host_history_init(&h, STEP_S, 10, 10);
	add(&h, 0, 50000000, 0);
	assert_false(sample_at(&h.fine, 0)->cpu_known);
	assert_int_equal(3, sample_at(&h.fine, 0)->memory_used_bytes);
	add(&h, 5, 57500000, 700);
	assert_true(sample_at(&h.fine, 1)->cpu_known);
	assert_int_equal(1500, sample_at(&h.fine, 1)->cpu_permille);
	assert_int_equal(700, sample_at(&h.fine, 1)->vms.cpu_permille);
	/* Nobody looked for an hour. */
	add(&h, 3600, 60000000, 0);
	assert_false(sample_at(&h.fine, 2)->cpu_known);
	add(&h, 3605, 60000000, 0);
	assert_true(sample_at(&h.fine, 3)->cpu_known);
	assert_int_equal(0, sample_at(&h.fine, 3)->cpu_permille);
	host_history_done(&h);
}

static void minutes_are_means(void **unused)
{
	struct host_history h;

	(void)unused;
	host_history_init(&h, STEP_S, 5, 3);
	/* One processor in the first half of each minute, none in the second. */
	for (int64_t i = 0, cpu_us = 1; i <= 5 * 12; i++) {
		bool busy = i % 12 >= 1 && i % 12 <= 6;

		cpu_us += busy ? STEP_S * 1000000 : 0;
		add(&h, i * STEP_S, (uint64_t)cpu_us, busy ? 400 : 0);
	}
	assert_int_equal(5, h.fine.n);
	assert_int_equal(3, h.coarse.n);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal((int64_t)(3 + i) * MINUTE_MS, sample_at(&h.coarse, i)->at_ms);
		assert_int_equal(500, sample_at(&h.coarse, i)->cpu_permille);
		assert_int_equal(200, sample_at(&h.coarse, i)->vms.cpu_permille);
	}
	host_history_done(&h);
}

static void what_is_not_known_is_absent(void **unused)
{
	struct host_stats now = read_at(0, 1);
	struct host_vms vms = { .n = 1 };
	struct host_history h;
	json_auto_t *list = NULL;
	json_t *one;

	(void)unused;
	host_history_init(&h, STEP_S, 10, 10);
	host_history_add(&h, 1000, &now, &vms, MINUTE_MS);
	now = read_at(5, 2500001);
	now.pressure_known = true;
	now.pressure[HOST_PRESSURE_IO].avg10 = 12.5;
	host_history_add(&h, 6000, &now, &vms, MINUTE_MS);
	list = host_history_json(&h.fine, 0);
	assert_int_equal(2, json_array_size(list));
	one = json_array_get(list, 0);
	assert_null(json_object_get(one, "cpu"));
	assert_null(json_object_get(one, "pressure"));
	assert_string_equal("1970-01-01T00:00:01.000Z",
			    json_string_value(json_object_get(one, "at")));
	one = json_array_get(list, 1);
	assert_float_equal(0.5, json_real_value(json_object_get(one, "cpu")), 0.001);
	one = json_object_get(one, "pressure");
	assert_float_equal(12.5, json_real_value(json_object_get(one, "io")), 0.001);
	json_decref(list);
	list = host_history_json(&h.fine, 1000);
	assert_int_equal(1, json_array_size(list));
	host_history_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_time_is_read),
		cmocka_unit_test(waits_are_read),
		cmocka_unit_test(this_host_is_read),
		cmocka_unit_test(the_share_of_processors_needs_a_sample_shortly_before),
		cmocka_unit_test(minutes_are_means),
		cmocka_unit_test(what_is_not_known_is_absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
