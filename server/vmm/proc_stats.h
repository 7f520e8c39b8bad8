/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM process uses, from /proc. */
#pragma once

#include "server/vmm/vmm.h"

/* -ESRCH when the process has ended. Reads smaps_rollup: some milliseconds for a large VM. */
int proc_stats(const struct proc *proc, struct vmm_stats *ret_stats) MUST_USE;

/* Pure: the number behind `key` ("Pss:") in lines of "key  value". False when it is not there. */
bool stats_value(const char *text, const char *key, uint64_t *ret_value);

/* Pure: user and system time in clock ticks from the text of /proc/<pid>/stat. */
bool stats_cpu_ticks(const char *stat, uint64_t *ret_ticks);
