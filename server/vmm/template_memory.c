/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/template_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { KEPT_MAX = 8 };

struct kept {
	int mem_fd; /* -1: free */
	int file_fd;
	dev_t dev;
	ino_t ino;
	struct timespec changed;
	uint64_t used; /* number of the call that used it last */
};

/* Guards `kept` and `calls`; a leaf: only descriptors are looked at while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept kept[KEPT_MAX] = { [0 ... KEPT_MAX - 1] = { .mem_fd = -1, .file_fd = -1 } };
static uint64_t calls;

/* Held while one is made, so that copies which start together wait for it and share it. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static void drop_locked(struct kept *k)
{
	close_keep_errno(k->mem_fd);
	close_keep_errno(k->file_fd);
	*k = (struct kept){ .mem_fd = -1, .file_fd = -1 };
}

static bool same(const struct kept *k, const struct stat *st)
{
	return k->mem_fd >= 0 && k->dev == st->st_dev && k->ino == st->st_ino &&
	       k->changed.tv_sec == st->st_mtim.tv_sec && k->changed.tv_nsec == st->st_mtim.tv_nsec;
}

static int find(const struct stat *st)
{
	int fd = -ENOENT;

	(void)pthread_mutex_lock(&lock);
	calls++;
	for (size_t i = 0; i < KEPT_MAX; i++) {
		struct stat now;

		if (kept[i].mem_fd >= 0 && (fstat(kept[i].file_fd, &now) < 0 || now.st_nlink == 0))
			drop_locked(&kept[i]);
		if (fd == -ENOENT && same(&kept[i], st)) {
			kept[i].used = calls;
			fd = fcntl(kept[i].mem_fd, F_DUPFD_CLOEXEC, 3);
			if (fd < 0)
				fd = -errno;
		}
	}
	(void)pthread_mutex_unlock(&lock);
	return fd;
}

/* Keeps copies of both descriptors in the place that was used longest ago; not keeping is fine. */
static void keep(const struct stat *st, int file_fd, int mem_fd)
{
	autoclose int file = fcntl(file_fd, F_DUPFD_CLOEXEC, 3);
	autoclose int mem = fcntl(mem_fd, F_DUPFD_CLOEXEC, 3);
	struct kept *oldest = &kept[0];
	bool there = false;

	if (file < 0 || mem < 0)
		return;
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KEPT_MAX; i++) {
		there |= same(&kept[i], st);
		if (kept[i].used < oldest->used)
			oldest = &kept[i];
	}
	if (!there) {
		drop_locked(oldest);
		*oldest = (struct kept){ .mem_fd = take_fd(&mem),
					 .file_fd = take_fd(&file),
					 .dev = st->st_dev,
					 .ino = st->st_ino,
					 .changed = st->st_mtim,
					 .used = calls };
	}
	(void)pthread_mutex_unlock(&lock);
}

static int make(const struct stat *st, int file_fd)
{
	autoclose int mem = memfd_create("banger-template", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (mem < 0)
		return -errno;
	r = copy_sparse(file_fd, mem);
	if (r < 0)
		return r;
	if (fcntl(mem, F_ADD_SEALS,
		  F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	keep(st, file_fd, mem);
	return take_fd(&mem);
}

int template_memory_open(int file_fd)
{
	struct stat st;
	int fd;

	if (fstat(file_fd, &st) < 0)
		return -errno;
	fd = find(&st);
	if (fd != -ENOENT)
		return fd;
	(void)pthread_mutex_lock(&making);
	fd = find(&st);
	if (fd == -ENOENT)
		fd = make(&st, file_fd);
	(void)pthread_mutex_unlock(&making);
	return fd;
}

void template_memory_drop_all(void)
{
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KEPT_MAX; i++)
		drop_locked(&kept[i]);
	(void)pthread_mutex_unlock(&lock);
}
