/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/empty_disks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"
#include "lib/proc/proc.h"

#define FOLDER "disks"
#define PREFIX "ext4-"
#define SUFFIX ".tmp"

/* Nobody formats for as long: what is older was left by a server that was killed. */
enum { HALF_MADE_S = 3600 };

struct entry {
	char name[64];
	struct timespec used;
	uint64_t bytes;
};

struct entries {
	struct entry *list;
	size_t n;
};

static void entries_done(struct entries *e)
{
	free(e->list);
}

static int by_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct entry *)a)->used;
	const struct timespec *y = &((const struct entry *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static int add_entry(struct entries *e, int dir, const char *name)
{
	struct entry *bigger;
	struct stat st;

	if (strlen(name) >= sizeof(e->list->name) ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	bigger = reallocarray(e->list, e->n + 1, sizeof(*e->list));
	if (!bigger)
		return -ENOMEM;
	e->list = bigger;
	e->list[e->n] = (struct entry){ .used = st.st_mtim, .bytes = (uint64_t)st.st_blocks * 512 };
	(void)snprintf(e->list[e->n++].name, sizeof(e->list->name), "%s", name);
	return 0;
}

/* All that is there, the last used first. */
static int read_entries(int dir_fd, struct entries *ret)
{
	DIR *dir = dir_entries(dir_fd);
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return -errno;
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			r = add_entry(ret, dir_fd, e->d_name);
	(void)closedir(dir);
	if (r == 0 && ret->n > 0)
		qsort(ret->list, ret->n, sizeof(*ret->list), by_use);
	return r;
}

/* Down to the bounds. An open disk can still be read; one that can't be removed is tried again. */
static void trim(int dir_fd)
{
	struct entries all CLEANUP(entries_done) = { 0 };
	uint64_t bytes = 0;
	size_t kept = 0;

	if (read_entries(dir_fd, &all) < 0)
		return;
	for (size_t i = 0; i < all.n; i++) {
		const struct entry *e = &all.list[i];

		if (!str_has_prefix(e->name, PREFIX))
			continue;
		bytes += e->bytes;
		if (++kept > EMPTY_DISKS_MAX || bytes > (uint64_t)EMPTY_DISKS_MIB_MAX << 20)
			(void)unlinkat(dir_fd, e->name, 0);
	}
}

/* A new file beside the wanted one, renamed when it is whole. Returns it, open. */
static int make(int dir_fd, const char *dir, const char *name, uint64_t size_mib, int cancel_fd,
		struct error *err)
{
	autofree char *program = proc_find_program("mke2fs");
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	autoclose int fd = -1;
	char tmp[64];
	char path[4200];
	char size[32];
	int r;

	if (!program)
		return error_set(err, ERR_UNAVAILABLE,
				 "mke2fs is not installed; on Debian: apt-get install e2fsprogs");
	(void)snprintf(tmp, sizeof(tmp), "%s" SUFFIX, id_new().s);
	if (snprintf(path, sizeof(path), "%s/%s", dir, tmp) >= (int)sizeof(path))
		return error_errno(err, -ENAMETOOLONG, "%s", dir);
	(void)snprintf(size, sizeof(size), "%lluM", (unsigned long long)size_mib);

	const char *const argv[] = {
		program,
		"-q",
		"-F",
		"-t",
		"ext4",
		"-m",
		"0",
		"-L",
		"work",
		"-E",
		"lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
		path,
		size,
		NULL
	};

	spec.argv = argv;
	run.cancel_fd = cancel_fd;
	r = proc_run_ok(&spec, &run, err);
	/* Open before it has its name: from then on somebody may remove it. */
	if (r == 0 && (fd = open_regular_beneath(dir_fd, tmp, O_RDONLY, 0)) < 0)
		r = error_errno(err, fd, "open %s", path);
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = error_errno(err, -errno, "publish %s", name);
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r < 0 ? r : take_fd(&fd);
}

int empty_disk_open(const char *cache_dir, uint64_t size_mib, int cancel_fd, struct error *err)
{
	autofree char *dir = path_join(cache_dir, FOLDER);
	autoclose int dir_fd = dir ? open_dir_create(dir, 0700) : -ENOMEM;
	char name[48];
	int fd;

	if (dir_fd < 0)
		return error_errno(err, dir_fd, "open the cache of disks");
	(void)snprintf(name, sizeof(name), PREFIX "%llu", (unsigned long long)size_mib);
	fd = open_regular_beneath(dir_fd, name, O_RDONLY, 0);
	if (fd >= 0) {
		/* Only for the order in which they go. */
		(void)!futimens(fd, NULL);
		return fd;
	}
	if (fd != -ENOENT)
		return error_errno(err, fd, "open %s/%s", dir, name);
	fd = make(dir_fd, dir, name, size_mib, cancel_fd, err);
	if (fd < 0)
		return error_wrap(err, "format a disk of %llu MiB", (unsigned long long)size_mib);
	trim(dir_fd);
	return fd;
}

int empty_disks_prune(const char *cache_dir, int64_t age_s, bool dry_run, uint64_t *bytes,
		      struct error *err)
{
	autofree char *dir = path_join(cache_dir, FOLDER);
	autoclose int dir_fd = dir ? open_dir_create(dir, 0700) : -ENOMEM;
	struct entries all CLEANUP(entries_done) = { 0 };
	int64_t now = (int64_t)time(NULL);
	int r = dir_fd < 0 ? dir_fd : read_entries(dir_fd, &all);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		const struct entry *e = &all.list[i];
		bool whole = str_has_prefix(e->name, PREFIX);
		int64_t least_s = whole || age_s > HALF_MADE_S ? age_s : HALF_MADE_S;

		if ((int64_t)e->used.tv_sec > now - least_s)
			continue;
		*bytes += e->bytes;
		if (!dry_run && unlinkat(dir_fd, e->name, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r < 0 ? error_errno(err, r, "clean %s", dir ? dir : cache_dir) : 0;
}
