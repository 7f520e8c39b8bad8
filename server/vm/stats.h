/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VMs use of the host, and what the host as a whole uses, over time: samples every five
 * seconds for an hour and every minute for a day, in memory, and the highest values seen. While no
 * VM has a process and nobody watches the host nothing is measured. All on the loop's thread; what
 * has to be read from /proc is read by a thread of its own.
 */
#pragma once

#include "server/netgate/counters.h"
#include "server/vm/vm.h"

enum {
	STATS_FINE_S = 5,
	STATS_FINE_MAX = 3600 / STATS_FINE_S,
	STATS_COARSE_S = 60,
	STATS_COARSE_MAX = 86400 / STATS_COARSE_S,
	STATS_WATCHED_S = 90, /* the host, after it was asked for */
};

struct vms_sampler;

/* A VM has a process: sees to it that it is measured. */
void vms_measure(struct vms *vms);
/* Waits for the thread. NULL is fine. */
void vms_sampler_free(struct vms_sampler *sampler);

/*
 * {"now", "peak", "step_s", "samples"} with the samples after `since_ms` (wall clock), by minutes
 * when that is more than an hour ago; new reference. */
json_t *vm_stats_json(const struct vm *vm, int64_t since_ms);
/* {"step_s", "samples"} of the host, in the same way; sees to it that it is measured for a while;
 * new reference. */
json_t *vms_host_history_json(struct vms *vms, int64_t since_ms);
/* What the latest sample says of the network; false without a process, or where it is not counted.
 */
bool vm_net_counters(const struct vm *vm, struct net_counters *ret_counters) MUST_USE;
/* The latest sample of a VM that has a process, else NULL; new reference. */
json_t *vm_stats_now_json(const struct vm *vm);
