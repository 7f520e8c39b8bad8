/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/host_history.h"

#include "lib/base/clock.h"

/* So many samples may be missing before a mean over the gap says nothing any more. */
enum { MISSING_MAX = 3 };

void host_history_init(struct host_history *h, int step_s, size_t fine_max, size_t coarse_max)
{
	*h = (struct host_history){
		.fine = { .size = sizeof(struct host_sample), .max = fine_max },
		.coarse = { .size = sizeof(struct host_sample), .max = coarse_max },
		.gap_us = (int64_t)step_s * MISSING_MAX * 1000000,
	};
}

void host_history_done(struct host_history *h)
{
	ring_done(&h->fine);
	ring_done(&h->coarse);
}

static void set_cpu(const struct host_history *h, const struct host_stats *now,
		    struct host_sample *sample)
{
	int64_t took_us = now->mono_us - h->last.mono_us;

	if (h->last.cpu_us == 0 || now->cpu_us < h->last.cpu_us || took_us <= 0 ||
	    took_us > h->gap_us)
		return;
	sample->cpu_known = true;
	sample->cpu_permille =
		(uint32_t)((now->cpu_us - h->last.cpu_us) * 1000 / (uint64_t)took_us);
}

static void add_coarse(struct host_history *h, const struct host_sample *sample, int64_t coarse_ms)
{
	const struct host_sample *last = ring_last(&h->coarse);
	struct host_sample mean = *sample;

	h->sums.n++;
	h->sums.vms_cpu += sample->vms.cpu_permille;
	h->sums.n_cpu += sample->cpu_known;
	h->sums.cpu += sample->cpu_permille;
	h->sums.n_pressure += sample->pressure_known;
	for (size_t i = 0; i < HOST_PRESSURES; i++)
		h->sums.pressure[i] += sample->pressure[i];
	if (last && sample->at_ms >= last->at_ms && sample->at_ms - last->at_ms < coarse_ms)
		return;
	mean.vms.cpu_permille = (uint32_t)(h->sums.vms_cpu / h->sums.n);
	mean.cpu_known = h->sums.n_cpu > 0;
	if (mean.cpu_known)
		mean.cpu_permille = (uint32_t)(h->sums.cpu / h->sums.n_cpu);
	mean.pressure_known = h->sums.n_pressure > 0;
	for (size_t i = 0; mean.pressure_known && i < HOST_PRESSURES; i++)
		mean.pressure[i] = (uint32_t)(h->sums.pressure[i] / h->sums.n_pressure);
	memset(&h->sums, 0, sizeof(h->sums));
	(void)!ring_push(&h->coarse, &mean);
}

void host_history_add(struct host_history *h, int64_t at_ms, const struct host_stats *now,
		      const struct host_vms *vms, int64_t coarse_ms)
{
	struct host_sample sample = {
		.at_ms = at_ms,
		.memory_used_bytes = now->memory_total_bytes - now->memory_available_bytes,
		.disk_free_bytes = now->disk_free_bytes,
		.vms = *vms,
		.pressure_known = now->pressure_known,
	};

	set_cpu(h, now, &sample);
	for (size_t i = 0; now->pressure_known && i < HOST_PRESSURES; i++)
		sample.pressure[i] = (uint32_t)(now->pressure[i].avg10 * 100 + 0.5);
	h->last = *now;
	(void)!ring_push(&h->fine, &sample);
	add_coarse(h, &sample, coarse_ms);
}

static json_t *sample_json(const struct host_sample *s)
{
	char when[32];
	json_t *o = json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I}", "at",
			      clock_format_ms(s->at_ms, when), "vms_cpu",
			      s->vms.cpu_permille / 1000.0, "vms_running", (json_int_t)s->vms.n,
			      "vms_memory_bytes", (json_int_t)s->vms.memory_bytes,
			      "vms_memory_shared_bytes", (json_int_t)s->vms.memory_shared_bytes,
			      "memory_used_bytes", (json_int_t)s->memory_used_bytes,
			      "disk_free_bytes", (json_int_t)s->disk_free_bytes);

	if (s->cpu_known)
		(void)json_object_set_new(o, "cpu", json_real(s->cpu_permille / 1000.0));
	if (s->pressure_known)
		(void)json_object_set_new(o, "pressure",
					  json_pack("{s:f, s:f, s:f}", host_pressure_names[0],
						    s->pressure[0] / 100.0, host_pressure_names[1],
						    s->pressure[1] / 100.0, host_pressure_names[2],
						    s->pressure[2] / 100.0));
	return o;
}

json_t *host_history_json(const struct ring *ring, int64_t since_ms)
{
	json_t *samples = json_array();
	const struct host_sample *s;

	for (size_t i = 0; (s = ring_at(ring, i)) != NULL; i++)
		if (s->at_ms > since_ms)
			(void)json_array_append_new(samples, sample_json(s));
	return samples;
}
