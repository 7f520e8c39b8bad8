/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/host_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/vmm/proc_stats.h"
#include "server/vmm/words.h"

enum { TEXT_MAX = 16 * 1024, LINE_MAX_ = 256 };

const char *const host_pressure_names[HOST_PRESSURES] = { "cpu", "memory", "io" };

bool host_cpu_ticks(const char *stat, uint64_t *ret_ticks)
{
	/* user nice system idle iowait irq softirq; time in guests is in the first two already. */
	static const bool busy[] = { true, true, true, false, false, true, true };
	const char *p = stat;
	uint64_t sum = 0;

	if (strncmp(p, "cpu ", strlen("cpu ")) != 0)
		return false;
	p += strlen("cpu ");
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
		uint64_t ticks;

		if (!word_number(&p, 10, &ticks))
			return false;
		sum += busy[i] ? ticks : 0;
	}
	*ret_ticks = sum;
	return true;
}

bool host_pressure_parse(const char *text, struct host_waits *ret_waits)
{
	const char *avg10 = strstr(text, "avg10=");
	const char *avg60 = strstr(text, "avg60=");

	if (!avg10 || !avg60)
		return false;
	ret_waits->avg10 = strtod(avg10 + strlen("avg10="), NULL);
	ret_waits->avg60 = strtod(avg60 + strlen("avg60="), NULL);
	return true;
}

bool host_pressure_read(enum host_pressure kind, struct host_waits *ret_waits)
{
	autofree char *text = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/pressure/%s", host_pressure_names[kind]);
	return read_file(path, TEXT_MAX, &text, NULL) >= 0 && host_pressure_parse(text, ret_waits);
}

/* The first line alone: what follows it is as long as the host has interrupts. */
static void read_cpu(struct host_stats *s)
{
	char line[LINE_MAX_] = "";
	autoclose int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	uint64_t ticks = 0;

	if (n > 0 && host_cpu_ticks(line, &ticks))
		s->cpu_us = ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void read_memory(struct host_stats *s)
{
	autofree char *text = NULL;

	if (read_file("/proc/meminfo", TEXT_MAX, &text, NULL) < 0)
		return;
	if (stats_value(text, "MemTotal:", &s->memory_total_bytes))
		s->memory_total_bytes *= 1024;
	if (stats_value(text, "MemAvailable:", &s->memory_available_bytes))
		s->memory_available_bytes *= 1024;
}

void host_stats_read(int dir_fd, struct host_stats *ret_stats)
{
	struct host_stats s = { .mono_us = clock_mono_us(), .pressure_known = true };
	struct statvfs fs;

	read_cpu(&s);
	read_memory(&s);
	if (fstatvfs(dir_fd, &fs) == 0)
		s.disk_free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	for (enum host_pressure kind = 0; kind < HOST_PRESSURES; kind++)
		if (!host_pressure_read(kind, &s.pressure[kind]))
			s.pressure_known = false;
	*ret_stats = s;
}
