/* SPDX-License-Identifier: Apache-2.0 */
/* Who keeps the server from writing: another process with the database's lock. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/store/store_internal.h"

/* The byte of the -shm file that a writer locks: WAL_WRITE_LOCK of sqlite.org/walformat.html. */
enum { WRITE_LOCK_BYTE = 120, LOCKS_MAX = 1 << 20 };

/* Many may ask at once: for so long the last answer stands, that it is locked, and by whom. */
enum { LOCKED_US = 10 * 1000, HOLDER_US = 500 * 1000 };

/* A line of proc_locks(5), "1: POSIX  ADVISORY  WRITE 1234 fe:01:5678 120 120"; one that waits has
 * an arrow behind its number. 0: it is not about our lock. */
static int holder_of_line(const char *line, const struct stat *st)
{
	static const char kind[] = ": POSIX  ADVISORY  WRITE ";
	char *at = (char *)(uintptr_t)line + strspn(line, "0123456789");
	unsigned long pid;
	unsigned long major;
	unsigned long minor;
	unsigned long inode;
	unsigned long first;

	if (!str_has_prefix(at, kind))
		return 0;
	pid = strtoul(at + strlen(kind), &at, 10);
	major = strtoul(at, &at, 16);
	minor = *at == ':' ? strtoul(at + 1, &at, 16) : 0;
	inode = *at == ':' ? strtoul(at + 1, &at, 10) : 0;
	first = strtoul(at, &at, 10);
	if (inode != st->st_ino || major != major(st->st_dev) || minor != minor(st->st_dev) ||
	    first > WRITE_LOCK_BYTE || pid > INT_MAX)
		return 0;
	return str_has_prefix(at, " EOF") || strtoul(at, NULL, 10) >= WRITE_LOCK_BYTE ? (int)pid
										      : 0;
}

/* 0: not known. The lock may be of a process in another namespace, or gone by now. */
static int find_holder(const struct store *store)
{
	autofree char *path = NULL;
	autofree char *locks = NULL;
	struct stat st;
	size_t len = 0;

	if (asprintf(&path, "%s-shm", store->path) < 0) {
		path = NULL;
		return 0;
	}
	if (stat(path, &st) < 0 || read_file("/proc/locks", LOCKS_MAX, &locks, &len) < 0)
		return 0;
	for (const char *line = locks; line && *line;) {
		const char *end = strchr(line, '\n');
		int pid = holder_of_line(line, &st);

		if (pid > 0)
			return pid;
		line = end ? end + 1 : NULL;
	}
	return 0;
}

static void name_of(int pid, char *name, size_t size)
{
	autofree char *comm = NULL;
	char path[64];
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (read_file(path, 256, &comm, &len) < 0)
		(void)snprintf(name, size, "unknown");
	else
		(void)snprintf(name, size, "%.*s", (int)strcspn(comm, "\n"), comm);
}

static int tell_holder(const struct store *store, struct error *err)
{
	int pid = find_holder(store);
	char name[64];

	if (pid == 0)
		return error_set(err, ERR_UNAVAILABLE,
				 "the database is locked by another process; find it with: fuser "
				 "-v %s",
				 store->path);
	name_of(pid, name, sizeof(name));
	return error_set(err, ERR_UNAVAILABLE,
			 "the database is locked by process %d (%s); wait until it has ended, or "
			 "end it",
			 pid, name);
}

int store_fail_locked(struct store *store, struct error *err)
{
	int64_t now = clock_mono_us();

	if (store->holder_us == 0 || now - store->holder_us > HOLDER_US) {
		(void)tell_holder(store, &store->locked);
		store->holder_us = now;
	}
	store->locked_us = now;
	*err = store->locked;
	return error_to_errno(err);
}

int store_try_write(struct store *store, struct error *err)
{
	int rc;

	store->hasty = true;
	rc = sqlite3_step(store->stmt[STMT_BEGIN]);
	store->hasty = false;
	store_reset(store, STMT_BEGIN);
	if ((rc & 0xff) == SQLITE_BUSY)
		return store_fail_locked(store, err);
	/* Whatever else is wrong, the write itself tells better. */
	if (rc == SQLITE_DONE)
		(void)sqlite3_step(store->stmt[STMT_ROLLBACK]);
	store_reset(store, STMT_ROLLBACK);
	return 0;
}

int store_writable(struct store *store, struct error *err)
{
	if (!store->locked_us || clock_mono_us() - store->locked_us >= LOCKED_US)
		return store_try_write(store, err);
	*err = store->locked;
	return error_to_errno(err);
}
