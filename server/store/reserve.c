/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To delete needs room too: a row that goes is written to the log of the database first. A file of
 * the size that this takes lies beside it, and is given up when the disk is full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "server/store/store_internal.h"

/* A deletion with all that hangs on it touches a few dozen pages of 4 KiB. */
enum { RESERVE_BYTES = 1 << 20 };

static char *reserve_path(const struct store *store)
{
	char *path = NULL;

	return asprintf(&path, "%s-reserve", store->path) < 0 ? NULL : path;
}

bool store_give_reserve(struct store *store)
{
	autofree char *path = reserve_path(store);

	if (!path || unlink(path) < 0)
		return false;
	store->no_reserve = true;
	return true;
}

void store_keep_reserve(struct store *store)
{
	autofree char *path = reserve_path(store);
	autoclose int fd = -1;
	struct statvfs fs;
	struct stat st;

	if (!store->no_reserve || !path)
		return;
	store->no_reserve = stat(path, &st) < 0 || st.st_size != RESERVE_BYTES;
	if (!store->no_reserve)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstatvfs(fd, &fs) < 0 ||
	    (uint64_t)fs.f_bavail * fs.f_frsize < 2 * (uint64_t)RESERVE_BYTES ||
	    posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
		(void)unlink(path);
	else
		store->no_reserve = false;
}
