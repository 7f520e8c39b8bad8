/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of one VM, in two rings: of every few seconds, and of every minute. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/netgate/counters.h"
#include "server/vm/ring.h"

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

struct stats_history {
	struct ring fine; /* both of struct stats_sample */
	struct ring coarse;
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
