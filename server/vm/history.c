/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/history.h"

void stats_history_init(struct stats_history *h, size_t fine_max, size_t coarse_max)
{
	*h = (struct stats_history){
		.fine = { .size = sizeof(struct stats_sample), .max = fine_max },
		.coarse = { .size = sizeof(struct stats_sample), .max = coarse_max },
	};
}

void stats_history_done(struct stats_history *h)
{
	ring_done(&h->fine);
	ring_done(&h->coarse);
}

static uint32_t permille(const struct stats_history *h, int64_t pid, uint64_t cpu_us,
			 int64_t mono_us)
{
	int64_t took_us = mono_us - h->mono_us;

	if (pid != h->pid || cpu_us < h->cpu_us || took_us <= 0)
		return 0;
	return (uint32_t)((cpu_us - h->cpu_us) * 1000 / (uint64_t)took_us);
}

static void add_coarse(struct stats_history *h, const struct stats_sample *sample,
		       int64_t coarse_ms)
{
	const struct stats_sample *last = ring_last(&h->coarse);
	struct stats_sample mean = *sample;

	h->minute_permille += sample->cpu_permille;
	h->minute_n++;
	if (last && sample->at_ms >= last->at_ms && sample->at_ms - last->at_ms < coarse_ms)
		return;
	mean.cpu_permille = (uint32_t)(h->minute_permille / h->minute_n);
	h->minute_permille = 0;
	h->minute_n = 0;
	(void)!ring_push(&h->coarse, &mean);
}

void stats_history_add(struct stats_history *h, struct stats_sample *sample, int64_t pid,
		       uint64_t cpu_us, int64_t mono_us, int64_t coarse_ms)
{
	struct stats_sample *peak = &h->peak;

	sample->cpu_permille = permille(h, pid, cpu_us, mono_us);
	h->pid = pid;
	h->cpu_us = cpu_us;
	h->mono_us = mono_us;
	(void)!ring_push(&h->fine, sample);
	add_coarse(h, sample, coarse_ms);
#define RAISE(field)                     \
	if (sample->field > peak->field) \
	peak->field = sample->field
	RAISE(cpu_permille);
	RAISE(rss_kib);
	RAISE(pss_kib);
	RAISE(private_kib);
	RAISE(disk_kib);
#undef RAISE
}
