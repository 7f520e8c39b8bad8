/* SPDX-License-Identifier: Apache-2.0 */
/* Histories are bounded, in order, and work out what the processor did. */
#include "tests/unit/test.h"

#include "server/vm/history.h"

enum { MINUTE_MS = 60 * 1000 };

static struct stats_sample at(int64_t at_ms)
{
	return (struct stats_sample){ .at_ms = at_ms, .rss_kib = (uint32_t)(at_ms / 1000) };
}

static const struct stats_sample *sample_at(const struct ring *ring, size_t i)
{
	return ring_at(ring, i);
}

static void a_ring_keeps_the_newest_in_order(void **unused)
{
	struct ring ring = { .size = sizeof(struct stats_sample), .max = 20 };

	(void)unused;
	assert_null(ring_at(&ring, 0));
	assert_null(ring_last(&ring));
	for (int64_t i = 0; i < 50; i++) {
		struct stats_sample s = at(i);

		assert_int_equal(0, ring_push(&ring, &s));
		assert_int_equal(i < 20 ? i + 1 : 20, (int64_t)ring.n);
		for (size_t k = 0; k < ring.n; k++)
			assert_int_equal(i + 1 - (int64_t)ring.n + (int64_t)k,
					 sample_at(&ring, k)->at_ms);
		assert_null(ring_at(&ring, ring.n));
		assert_ptr_equal(ring_at(&ring, ring.n - 1), ring_last(&ring));
	}
	assert_true(ring.cap <= 20);
	ring_done(&ring);
}

static void processor_time_is_a_share_of_the_time_between(void **unused)
{
	struct stats_history h;
	struct stats_sample s;

	(void)unused;
	stats_history_init(&h, 10, 10);
	s = at(0);
	stats_history_add(&h, &s, 7, 5000000, 1000000, MINUTE_MS);
	assert_int_equal(0, sample_at(&h.fine, 0)->cpu_permille);
	s = at(5000);
	stats_history_add(&h, &s, 7, 7500000, 6000000, MINUTE_MS);
	assert_int_equal(500, sample_at(&h.fine, 1)->cpu_permille);
	/* Another process has used what it has used in a life of its own. */
	s = at(10000);
	stats_history_add(&h, &s, 8, 9000000, 11000000, MINUTE_MS);
	assert_int_equal(0, sample_at(&h.fine, 2)->cpu_permille);
	s = at(15000);
	stats_history_add(&h, &s, 8, 19000000, 16000000, MINUTE_MS);
	assert_int_equal(2000, sample_at(&h.fine, 3)->cpu_permille);
	assert_int_equal(2000, h.peak.cpu_permille);
	assert_int_equal(15, h.peak.rss_kib);
	stats_history_done(&h);
}

static void minutes_are_means(void **unused)
{
	struct stats_history h;

	(void)unused;
	stats_history_init(&h, 5, 3);
	/* Half of one processor in the first half of each minute, none in the second. */
	for (int64_t i = 0, cpu_us = 0; i <= 5 * 12; i++) {
		struct stats_sample s = at(i * 5000);

		if (i % 12 >= 1 && i % 12 <= 6)
			cpu_us += 2500000;
		stats_history_add(&h, &s, 7, (uint64_t)cpu_us, i * 5000000, MINUTE_MS);
	}
	assert_int_equal(5, h.fine.n);
	assert_int_equal(3, h.coarse.n);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal((int64_t)(3 + i) * MINUTE_MS, sample_at(&h.coarse, i)->at_ms);
		assert_int_equal(250, sample_at(&h.coarse, i)->cpu_permille);
	}
	stats_history_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_keeps_the_newest_in_order),
		cmocka_unit_test(processor_time_is_a_share_of_the_time_between),
		cmocka_unit_test(minutes_are_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
