/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel builds that nobody has gone on with. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/kernel_build.h"

/* What a tree takes up, and when its lock was last taken (the lock's file is opened by each try).
 */
static uint64_t tree_bytes(const char *path)
{
	autofree char *copy = strdup(path);
	char *const roots[] = { copy, NULL };
	FTS *fts = copy ? fts_open(roots, FTS_PHYSICAL, NULL) : NULL;
	uint64_t bytes = 0;
	const FTSENT *e;

	while (fts && (e = fts_read(fts)) != NULL)
		if (e->fts_info != FTS_DP && e->fts_statp)
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	if (fts)
		(void)fts_close(fts);
	return bytes;
}

static int prune_one(int dir, const char *parent, const char *name, int64_t older_than,
		     bool dry_run, uint64_t *ret_bytes)
{
	autofree char *path = path_join(parent, name);
	autoclose int folder = open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);
	autoclose int lock = -1;
	struct stat st;

	lock = folder < 0 ? -1 : open_regular_beneath(folder, KERNEL_BUILD_LOCK, O_RDWR, 0);
	if (!path || lock < 0 || fstat(folder, &st) < 0 || st.st_mtim.tv_sec > older_than ||
	    flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	*ret_bytes += tree_bytes(path);
	return dry_run ? 0 : remove_tree_at(dir, name);
}

int kernel_build_prune(const struct image_paths *paths, int64_t age_s, bool dry_run,
		       uint64_t *ret_bytes, struct error *err)
{
	autofree char *parent = path_join(paths->cache, KERNEL_BUILD_FOLDER);
	autoclose int fd = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int64_t older_than = (int64_t)time(NULL) - age_s;
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return 0;
	dir = dir_entries(fd);
	if (!dir)
		return error_errno(err, -errno, "read %s", parent);
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			r = prune_one(fd, parent, e->d_name, older_than, dry_run, ret_bytes);
	(void)closedir(dir);
	return r < 0 ? error_errno(err, r, "clean %s", parent) : 0;
}
