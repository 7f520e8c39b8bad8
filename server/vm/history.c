/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/history.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST = 16 };

int stats_ring_push(struct stats_ring *r, const struct stats_sample *sample)
{
	if (r->n < r->max && r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : FIRST;
		struct stats_sample *bigger;

		if (cap > r->max)
			cap = r->max;
		bigger = reallocarray(r->v, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		r->v = bigger;
		r->cap = cap;
	}
	if (r->n < r->max) {
		r->v[r->n++] = *sample;
		return 0;
	}
	r->v[r->next] = *sample;
	r->next = (r->next + 1) % r->max;
	return 0;
}

const struct stats_sample *stats_ring_at(const struct stats_ring *r, size_t i)
{
	return i < r->n ? &r->v[(r->next + i) % r->n] : NULL;
}

void stats_ring_done(struct stats_ring *r)
{
	free(r->v);
	*r = (struct stats_ring){ .max = r->max };
}

void stats_history_init(struct stats_history *h, size_t fine_max, size_t coarse_max)
{
	*h = (struct stats_history){ .fine = { .max = fine_max }, .coarse = { .max = coarse_max } };
}

void stats_history_done(struct stats_history *h)
{
	stats_ring_done(&h->fine);
	stats_ring_done(&h->coarse);
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
	const struct stats_sample *last = stats_ring_at(&h->coarse, h->coarse.n - 1);
	struct stats_sample mean = *sample;

	h->minute_permille += sample->cpu_permille;
	h->minute_n++;
	if (last && sample->at_ms >= last->at_ms && sample->at_ms - last->at_ms < coarse_ms)
		return;
	mean.cpu_permille = (uint32_t)(h->minute_permille / h->minute_n);
	h->minute_permille = 0;
	h->minute_n = 0;
	(void)!stats_ring_push(&h->coarse, &mean);
}

void stats_history_add(struct stats_history *h, struct stats_sample *sample, int64_t pid,
		       uint64_t cpu_us, int64_t mono_us, int64_t coarse_ms)
{
	struct stats_sample *peak = &h->peak;

	sample->cpu_permille = permille(h, pid, cpu_us, mono_us);
	h->pid = pid;
	h->cpu_us = cpu_us;
	h->mono_us = mono_us;
	(void)!stats_ring_push(&h->fine, sample);
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
