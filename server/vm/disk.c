/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work disks: sparse ext4 files. One formatted disk of each size is kept in the cache and copied by
 * reference or by its few data extents, which takes milliseconds where mke2fs takes a tenth of a
 * second.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"
#include "lib/proc/proc.h"
#include "server/vm/vm_internal.h"

/* Formats a new file beside the wanted one and renames it: a half-made one is never seen. */
static int format_base(int dir_fd, const char *dir, const char *name, uint64_t size_mib,
		       int cancel_fd, struct error *err)
{
	autofree char *program = proc_find_program("mke2fs");
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	char tmp[64];
	char path[4200];
	char size[32];
	int r;

	if (!program)
		return error_set(err, ERR_UNAVAILABLE,
				 "mke2fs is not installed; on Debian: apt-get install e2fsprogs");
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", id_new().s);
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
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = error_errno(err, -errno, "publish %s", name);
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

int disk_copy(int from_fd, const char *path, struct error *err)
{
	autofree char *tmp = NULL;
	autoclose int out = -1;
	int r;

	if (asprintf(&tmp, "%s.new", path) < 0) {
		tmp = NULL;
		return error_errno(err, -ENOMEM, "make %s", path);
	}
	/* What a crash has left of an earlier try. */
	(void)unlink(tmp);
	out = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = out < 0 ? -errno : copy_sparse(from_fd, out);
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(tmp);
		return error_errno(err, r, "make %s", path);
	}
	return 0;
}

int disk_create(const char *cache_dir, const char *path, uint64_t size_mib, int cancel_fd,
		struct error *err)
{
	autofree char *dir = path_join(cache_dir, "disks");
	autoclose int dir_fd = dir ? open_dir_create(dir, 0700) : -ENOMEM;
	autoclose int base = -1;
	char name[48];
	int r;

	if (dir_fd < 0)
		return error_errno(err, dir_fd, "open the cache of disks");
	(void)snprintf(name, sizeof(name), "ext4-%llu", (unsigned long long)size_mib);
	base = open_regular_beneath(dir_fd, name, O_RDONLY, 0);
	if (base == -ENOENT) {
		r = format_base(dir_fd, dir, name, size_mib, cancel_fd, err);
		if (r < 0)
			return error_wrap(err, "format a disk of %llu MiB",
					  (unsigned long long)size_mib);
		base = open_regular_beneath(dir_fd, name, O_RDONLY, 0);
	}
	if (base < 0)
		return error_errno(err, base, "open %s/%s", dir, name);
	return disk_copy(base, path, err);
}
