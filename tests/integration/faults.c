/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the server by the tests of faults. The file $BANGER_FAULTS is shared memory with
 * the test, which says there what is to fail from now on; without it, or with zeroes in it,
 * everything works as ever.
 */
/* Both names of pread and its like are defined here. */
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { READS = 1, WRITES = 2, SYNCS = 4 };

/* As faults.py packs it. */
static volatile struct plan {
	int32_t error;       /* errno of what fails; 0: nothing does */
	uint32_t kinds;      /* READS … */
	int64_t wall_ns;     /* added to the wall clock */
	uint32_t malloc_nth; /* each so many-th allocation fails; 0: none */
	uint32_t failed;     /* counted here: calls that were made to fail */
	char path[64];       /* of the files concerned: contains this */
} none, *plan = &none;

static uint32_t allocations;

__attribute__((constructor)) static void faults_begin(void)
{
	const char *path = getenv("BANGER_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *shared =
		fd < 0 ? MAP_FAILED
		       : mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		(void)close(fd);
	if (shared != MAP_FAILED)
		plan = shared;
}

static int strikes(int fd, uint32_t kind)
{
	char link[32];
	char path[512];
	ssize_t n;

	if (!plan->error || !(plan->kinds & kind))
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	if (!strstr(path, (const char *)plan->path))
		return 0;
	(void)__atomic_add_fetch(&plan->failed, 1, __ATOMIC_RELAXED);
	errno = plan->error;
	return 1;
}

/* --- files --- */

ssize_t pread64(int fd, void *buf, size_t count, off64_t offset)
{
	return strikes(fd, READS) ? -1 : syscall(SYS_pread64, fd, buf, count, offset);
}

ssize_t pread(int fd, void *buf, size_t count, off_t offset)
{
	return strikes(fd, READS) ? -1 : syscall(SYS_pread64, fd, buf, count, offset);
}

ssize_t read(int fd, void *buf, size_t count)
{
	return strikes(fd, READS) ? -1 : syscall(SYS_read, fd, buf, count);
}

ssize_t pwrite64(int fd, const void *buf, size_t count, off64_t offset)
{
	return strikes(fd, WRITES) ? -1 : syscall(SYS_pwrite64, fd, buf, count, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)
{
	return strikes(fd, WRITES) ? -1 : syscall(SYS_pwrite64, fd, buf, count, offset);
}

ssize_t write(int fd, const void *buf, size_t count)
{
	return strikes(fd, WRITES) ? -1 : syscall(SYS_write, fd, buf, count);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n,
			unsigned int flags)
{
	return strikes(in, READS) || strikes(out, WRITES)
		       ? -1
		       : syscall(SYS_copy_file_range, in, in_at, out, out_at, n, flags);
}

int ftruncate64(int fd, off64_t size)
{
	return strikes(fd, WRITES) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size)
{
	return strikes(fd, WRITES) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd)
{
	return strikes(fd, SYNCS) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return strikes(fd, SYNCS) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* --- the wall clock --- */

static void shift(struct timespec *ts)
{
	int64_t ns = ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec + plan->wall_ns;

	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		shift(ts);
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

/* --- memory: a sanitizer's allocator is left alone --- */

#ifndef BANGER_SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static int starves(void)
{
	uint32_t nth = plan->malloc_nth;

	if (nth == 0 || __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED) % nth != 0)
		return 0;
	(void)__atomic_add_fetch(&plan->failed, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return starves() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return starves() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return starves() ? NULL : __libc_realloc(p, size);
}
#endif
