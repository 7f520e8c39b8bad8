/* SPDX-License-Identifier: Apache-2.0 */
/* The first part of a kernel's build: Debian's package of sources, downloaded and unpacked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/deb.h"
#include "server/image/kernel_build_internal.h"
#include "server/image/task.h"

#define TARBALL "source.tar.xz"

enum { TARBALL_MAX = 1 << 30 };

/* The sources that no build of ours opens, a third of them all. */
static const char *const left_out[] = { "--exclude=*/Documentation/*.rst",
					"--exclude=*/Documentation/*.yaml",
					"--exclude=*/Documentation/*.txt",
					"--exclude=*/drivers/gpu/*.[ch]", "--exclude=*.dts*" };

static int download(struct build *b, struct error *err)
{
	autofree char *path = build_path(b, BUILD_PACKAGE ".part");
	int r;

	op_stage(b->op, "download");
	if (build_marked(b, BUILD_PACKAGE))
		return 0;
	if (!path)
		return error_errno(err, -ENOMEM, "download");
	(void)unlinkat(b->dir, BUILD_PACKAGE ".part", 0);
	r = apt_download(&b->package, path, b->op, err);
	if (r == 0 && renameat(b->dir, BUILD_PACKAGE ".part", b->dir, BUILD_PACKAGE) < 0)
		r = error_errno(err, -errno, "rename %s", path);
	return r;
}

static int take_tarball(void *data, struct deb *deb, const char *path, struct error *err)
{
	struct build *b = data;
	int r;

	if (!str_has_prefix(path, "usr/src/linux-") || !strstr(path, ".tar.xz"))
		return 0;
	(void)unlinkat(b->dir, TARBALL, 0);
	r = deb_member_save(deb, TARBALL_MAX, b->dir, TARBALL, 0600, err);
	return r < 0 ? error_wrap(err, "%.200s", path) : 1;
}

struct reading {
	struct op *op;
	int fd;
	uint64_t total;
};

/* The program's standard input is a file that we have open too: they share the offset. */
static int tell_offset(void *data, struct error *err)
{
	const struct reading *reading = data;
	off_t at = lseek(reading->fd, 0, SEEK_CUR);

	(void)err;
	if (at >= 0)
		op_progress(reading->op, (uint64_t)at, reading->total, "bytes");
	return 0;
}

static int run_tar(struct build *b, struct error *err)
{
	autofree char *tar = proc_find_program("tar");
	autofree char *source = build_path(b, BUILD_SOURCE);
	const char *argv[ARRAY_SIZE(left_out) + 10];
	struct task task = TASK_INIT;
	struct reading reading = { .op = b->op };
	autoclose int fd = open_regular_beneath(b->dir, TARBALL, O_RDONLY, 0);
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, fd < 0 ? fd : -errno, "open " TARBALL);
	if (!tar || !source)
		return error_errno(err, -ENOMEM, "unpack");
	argv[n++] = tar;
	argv[n++] = "-xJ";
	argv[n++] = "-C";
	argv[n++] = source;
	argv[n++] = "--strip-components=1";
	argv[n++] = "--no-same-owner";
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		argv[n++] = left_out[i];
	argv[n] = NULL;
	reading.fd = fd;
	reading.total = (uint64_t)st.st_size;
	task.argv = argv;
	task.env = build_env;
	task.stdin_fd = fd;
	task.timeout_s = BUILD_SMALL_TIMEOUT_S;
	task.tick = tell_offset;
	task.tick_data = &reading;
	return task_run(&task, b->op, err);
}

static int unpack(struct build *b, struct error *err)
{
	autoclose int deb = -1;
	autoclose int source = -1;
	int r;

	op_stage(b->op, "unpack");
	deb = open_regular_beneath(b->dir, BUILD_PACKAGE, O_RDONLY, 0);
	if (deb < 0)
		return error_errno(err, deb, "open %s/" BUILD_PACKAGE, b->folder);
	r = deb_read(b->paths, deb, b->op, take_tarball, b, err);
	if (r == 0 && !build_marked(b, TARBALL))
		r = error_set(err, ERR_INVALID, "%s has no usr/src/linux-*.tar.xz",
			      b->package.file);
	if (r < 0)
		return r;
	(void)remove_tree_at(b->dir, BUILD_SOURCE);
	source = open_subdir(b->dir, BUILD_SOURCE, 0700);
	if (source < 0)
		return error_errno(err, source, "make %s/" BUILD_SOURCE, b->folder);
	r = run_tar(b, err);
	if (r == 0)
		r = build_set_mark(b, BUILD_UNPACKED, err);
	if (r < 0)
		return r;
	(void)unlinkat(b->dir, TARBALL, 0);
	(void)unlinkat(b->dir, BUILD_PACKAGE, 0);
	return 0;
}

int build_sources(struct build *b, struct error *err)
{
	int r = download(b, err);

	return r < 0 ? r : unpack(b, err);
}
