/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of one VM: two rings that grow as they are filled, never beyond their bounds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"
#include "server/netgate/counters.h"

struct stats_sample {
	int64_t at_ms;       /* wall clock */
	uint64_t read_bytes; /* by the VMM from disks, since its start */
	uint64_t written_bytes;
	struct net_counters net; /* since the VMM's start */
	bool net_known;
	uint32_t cpu_permille; /* of one CPU, since the sample before */
	uint32_t rss_kib;
	uint32_t pss_kib;
	uint32_t private_kib;
	uint32_t disk_kib; /* that the work disk takes on the host */
};

struct stats_ring {
	struct stats_sample *v;
	size_t n;    /* kept */
	size_t cap;  /* allocated */
	size_t max;  /* at most */
	size_t next; /* where the next one goes, once n == max */
};

/* Drops the oldest when it is full. 0 or -ENOMEM, with the ring as it was. */
int stats_ring_push(struct stats_ring *ring, const struct stats_sample *sample) MUST_USE;
/* By age, 0 is the oldest; NULL behind the last. */
const struct stats_sample *stats_ring_at(const struct stats_ring *ring, size_t i);
void stats_ring_done(struct stats_ring *ring);

struct stats_history {
	struct stats_ring fine;
	struct stats_ring coarse;
	struct stats_sample peak; /* the highest of each */
	uint64_t cpu_us;          /* of the process below, at the last sample */
	int64_t mono_us;
	int64_t pid;              /* 0: none yet */
	uint64_t minute_permille; /* sum since the last coarse sample … */
	uint32_t minute_n;        /* … over so many */
};

void stats_history_init(struct stats_history *history, size_t fine_max, size_t coarse_max);
void stats_history_done(struct stats_history *history);
/*
 * `cpu_us` is what process `pid` has used since its start, measured at `mono_us`; its share is
 * worked out here. What there is no memory for is left out.
 */
void stats_history_add(struct stats_history *history, struct stats_sample *sample, int64_t pid,
		       uint64_t cpu_us, int64_t mono_us, int64_t coarse_ms);
