/* SPDX-License-Identifier: Apache-2.0 */
/* What the whole host uses, from /proc. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/macro.h"

enum host_pressure { HOST_PRESSURE_CPU, HOST_PRESSURE_MEMORY, HOST_PRESSURE_IO, HOST_PRESSURES };

/* "cpu", "memory", "io" */
extern const char *const host_pressure_names[HOST_PRESSURES];

/* The share of time, in percent, in which something had to wait. */
struct host_waits {
	double avg10;
	double avg60;
};

struct host_stats {
	int64_t mono_us; /* when it was read */
	uint64_t cpu_us; /* all processors were busy since the host's start; 0: not known */
	uint64_t memory_total_bytes;
	uint64_t memory_available_bytes;
	uint64_t disk_free_bytes; /* for programs without privileges */
	bool pressure_known;
	struct host_waits pressure[HOST_PRESSURES];
};

/* Of the host, and the file system of `dir_fd`. What can't be read is 0. */
void host_stats_read(int dir_fd, struct host_stats *ret_stats);
/* False where the kernel does not tell. */
bool host_pressure_read(enum host_pressure kind, struct host_waits *ret_waits) MUST_USE;

/* Pure: ticks of all processors that were not idle, from the text of /proc/stat. */
bool host_cpu_ticks(const char *stat, uint64_t *ret_ticks) MUST_USE;
/* Pure: from the text of a file of /proc/pressure. */
bool host_pressure_parse(const char *text, struct host_waits *ret_waits) MUST_USE;
