/* SPDX-License-Identifier: Apache-2.0 */
/* The real machine. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "server/doctor/doctor.h"
#include "server/net/helper.h"

enum { RUN_TIMEOUT_MS = 5000, FILE_MAX = 1024 * 1024, HELPER_TIMEOUT_MS = 2000 };

static int host_lstat(void *data, const char *path, struct stat *ret_st)
{
	(void)data;
	return lstat(path, ret_st) < 0 ? -errno : 0;
}

static int host_read(void *data, const char *path, char **ret_text)
{
	(void)data;
	return read_file(path, FILE_MAX, ret_text, NULL);
}

static int host_run(void *data, const char *const *argv, char **ret_out)
{
	autofree char *path = proc_find_program(argv[0]);
	const char *words[64];
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error err = ERROR_INIT;
	size_t n = 0;
	int r;

	(void)data;
	if (!path)
		return -ENOENT;
	while (argv[n] && n < ARRAY_SIZE(words) - 1) {
		words[n] = argv[n];
		n++;
	}
	words[0] = path;
	words[n] = NULL;
	spec.argv = words;
	run.timeout_ms = RUN_TIMEOUT_MS;
	r = proc_run(&spec, &run, &result, &err);
	if (r < 0)
		return r;
	r = WIFEXITED(result.status) ? WEXITSTATUS(result.status) : 255;
	*ret_out = TAKE_PTR(result.out);
	proc_result_done(&result);
	return r;
}

static int host_has_program(void *data, const char *name)
{
	autofree char *path = proc_find_program(name);

	(void)data;
	return path != NULL;
}

static int host_room(void *data, const char *path, uint64_t *ret_bytes)
{
	struct statvfs fs;

	(void)data;
	if (statvfs(path, &fs) < 0)
		return -errno;
	*ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static int host_may_write(void *data, const char *path)
{
	(void)data;
	return access(path, R_OK | W_OK) < 0 ? -errno : 0;
}

/* A path as part of a URI: the characters that mean something there are escaped. */
static int uri_of(const char *path, const char *query, char *buf, size_t size)
{
	size_t n = (size_t)snprintf(buf, size, "file:");

	for (; *path && n + 4 < size; path++) {
		if (strchr("%?#", *path))
			n += (size_t)snprintf(buf + n, size - n, "%%%02x", (unsigned int)*path);
		else
			buf[n++] = *path;
	}
	if (*path || n + strlen(query) >= size)
		return -ENAMETOOLONG;
	memcpy(buf + n, query, strlen(query) + 1);
	return 0;
}

static void sqlite_close_p(sqlite3 **db)
{
	(void)sqlite3_close(*db);
}

/*
 * Read-only. Without a write-ahead log beside it the file is opened as immutable, so that not even
 * a lock or a shared memory file is made.
 */
static int host_check_db(void *data, const char *path, char *why, size_t size)
{
	sqlite3 *db CLEANUP(sqlite_close_p)
	= NULL;
	char wal[4096];
	char uri[4096];
	int r;

	(void)data;
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	r = uri_of(path, access(wal, F_OK) < 0 ? "?mode=ro&immutable=1" : "?mode=ro", uri,
		   sizeof(uri));
	if (r < 0)
		return r;
	r = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (r == SQLITE_OK)
		return 0;
	(void)snprintf(why, size, "%s", db ? sqlite3_errmsg(db) : "out of memory");
	return r == SQLITE_NOTADB || r == SQLITE_CORRUPT ? -EBADMSG : -EIO;
}

static int host_helper_status(void *data, const char *socket, char *version, size_t size,
			      unsigned int *ret_lacks)
{
	(void)data;
	return helper_status(socket, HELPER_TIMEOUT_MS, version, size, ret_lacks);
}

const struct doctor_host doctor_host_system = {
	.lstat = host_lstat,
	.read = host_read,
	.run = host_run,
	.has_program = host_has_program,
	.room = host_room,
	.may_write = host_may_write,
	.check_db = host_check_db,
	.helper_status = host_helper_status,
};
