/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/proc_stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/words.h"

enum { TEXT_MAX = 16384, FIELD_UTIME = 14, FIELD_STATE = 3 };

bool stats_value(const char *text, const char *key, uint64_t *ret_value)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line;) {
		if (strncmp(line, key, len) == 0) {
			line += len;
			return word_number(&line, 10, ret_value);
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

bool stats_cpu_ticks(const char *stat, uint64_t *ret_ticks)
{
	const char *p = strrchr(stat, ')');
	uint64_t user;
	uint64_t sys;

	/* From the last ')' on: " S ppid …", the state being field 3. */
	for (int field = FIELD_STATE - 1; p && field < FIELD_UTIME; field++)
		p = strchr(p + 1, ' ');
	if (!p || !word_number(&p, 10, &user) || !word_number(&p, 10, &sys))
		return false;
	*ret_ticks = user + sys;
	return true;
}

static char *slurp(pid_t pid, const char *name)
{
	char path[64];
	char *text = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return read_file(path, TEXT_MAX, &text, NULL) < 0 ? NULL : text;
}

int proc_stats(const struct proc *proc, struct vmm_stats *ret_stats)
{
	autofree char *stat = slurp(proc->pid, "stat");
	autofree char *smaps = slurp(proc->pid, "smaps_rollup");
	autofree char *io = slurp(proc->pid, "io");
	struct vmm_stats s = { 0 };
	uint64_t ticks = 0;

	if (!stat || !stats_cpu_ticks(stat, &ticks) ||
	    proc_start_time(proc->pid) != proc->start_time)
		return -ESRCH;
	s.cpu_us = ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	if (smaps && stats_value(smaps, "Rss:", &s.rss_bytes))
		s.rss_bytes *= 1024;
	if (smaps && stats_value(smaps, "Pss:", &s.pss_bytes))
		s.pss_bytes *= 1024;
	if (smaps) {
		uint64_t clean = 0;
		uint64_t dirty = 0;

		(void)stats_value(smaps, "Private_Clean:", &clean);
		(void)stats_value(smaps, "Private_Dirty:", &dirty);
		s.private_bytes = (clean + dirty) * 1024;
	}
	if (io) {
		(void)stats_value(io, "read_bytes:", &s.disk_read_bytes);
		(void)stats_value(io, "write_bytes:", &s.disk_written_bytes);
	}
	*ret_stats = s;
	return 0;
}
