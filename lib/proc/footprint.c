/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/proc/footprint.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { MAPS_MAX = 4 * 1024 * 1024 };

/*
 * Only executable, unwritable mappings of files: nothing in them can have been changed, so nothing
 * is lost. Read-only data is left alone, since relocations have been written to some of it before
 * it was protected.
 */
static void drop_line(const char *line)
{
	char *end = NULL;
	unsigned long long from = strtoull(line, &end, 16);
	unsigned long long to = *end == '-' ? strtoull(end + 1, &end, 16) : 0;

	if (to <= from || !str_has_prefix(end, " r-xp ") || !strchr(end, '/'))
		return;
	(void)madvise((void *)(uintptr_t)from, (size_t)(to - from), MADV_DONTNEED);
}

void footprint_drop_text(void)
{
	autofree char *maps = NULL;
	char *line;
	char *rest;

	if (read_file("/proc/self/maps", MAPS_MAX, &maps, NULL) < 0)
		return;
	for (rest = maps; (line = strsep(&rest, "\n")) != NULL;)
		drop_line(line);
}
