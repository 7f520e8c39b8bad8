/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of the host as a whole, beside those of its VMs, in two rings like those. */
#pragma once

#include <jansson.h>

#include "server/vm/host_stats.h"
#include "server/vm/ring.h"

/* What all VMs took when the host was looked at. */
struct host_vms {
	uint32_t n; /* with a process */
	uint32_t cpu_permille;
	uint64_t memory_bytes;        /* what they share counted once */
	uint64_t memory_shared_bytes; /* saved by sharing */
};

struct host_sample {
	int64_t at_ms; /* wall clock */
	uint64_t memory_used_bytes;
	uint64_t disk_free_bytes;
	struct host_vms vms;
	/* What is a mean over the time since the sample before: */
	bool cpu_known;        /* false where there is none before, or it is too old */
	uint32_t cpu_permille; /* of one processor */
	bool pressure_known;
	uint32_t pressure[HOST_PRESSURES]; /* hundredths of a percent */
};

struct host_history {
	struct ring fine; /* both of struct host_sample */
	struct ring coarse;
	struct host_stats last; /* as it was read */
	int64_t gap_us;         /* longer ago than this is too old */
	struct {
		uint64_t cpu, vms_cpu, pressure[HOST_PRESSURES];
		uint32_t n, n_cpu, n_pressure;
	} sums; /* since the last coarse sample */
};

/* `fine_max` samples that come every `step_s`. */
void host_history_init(struct host_history *history, int step_s, size_t fine_max,
		       size_t coarse_max);
void host_history_done(struct host_history *history);
/* What there is no memory for is left out. */
void host_history_add(struct host_history *history, int64_t at_ms, const struct host_stats *now,
		      const struct host_vms *vms, int64_t coarse_ms);
/* The samples after `since_ms` as an array; new reference. */
json_t *host_history_json(const struct ring *ring, int64_t since_ms);
