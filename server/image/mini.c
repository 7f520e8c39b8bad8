/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image `mini`: busybox from Debian's package, its links and a few files in /etc. It is made in
 * about a second, holds no init of its own (the agent stays process 1), and comes out the same,
 * byte for byte, each time that the package is the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "server/image/deb.h"
#include "server/image/image.h"
#include "server/image/manifest.h"
#include "server/image/mini.h"
#include "server/image/package.h"
#include "server/image/squashfs.h"

#define BUSYBOX "busybox"

enum { BUSYBOX_MAX = 64 << 20, APPLETS_MAX = 1024 };

static const struct {
	const char *name;
	mode_t mode;
} dirs[] = {
	{ "bin", 0755 },           { "dev", 0755 },     { "etc", 0755 },      { "home", 0755 },
	{ "mnt", 0755 },           { "opt", 0755 },     { "proc", 0555 },     { "root", 0700 },
	{ "run", 0755 },           { "sbin", 0755 },    { "sys", 0555 },      { "tmp", 01777 },
	{ "usr", 0755 },           { "usr/bin", 0755 }, { "usr/sbin", 0755 }, { "usr/local", 0755 },
	{ "usr/local/bin", 0755 }, { "var", 0755 },     { "var/log", 0755 },  { "var/tmp", 01777 },
};

static const struct {
	const char *name;
	const char *text;
} files[] = {
	{ "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
			"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n" },
	{ "etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n" },
	{ "etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n" },
	{ "etc/profile", "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
			 "export PS1='\\u@\\h:\\w\\$ '\n"
			 "umask 022\n" },
	{ "etc/shells", "/bin/sh\n" },
	{ "etc/os-release", "ID=mini\nNAME=\"banger mini\"\nPRETTY_NAME=\"banger mini\"\n" },
};

struct pick {
	void *data;
	size_t len;
};

static int pick_busybox(void *data, struct deb *deb, const char *path, struct error *err)
{
	struct pick *pick = data;
	int r;

	if (!streq(path, "bin/" BUSYBOX) && !streq(path, "usr/bin/" BUSYBOX))
		return 0;
	r = deb_member_read(deb, BUSYBOX_MAX, &pick->data, &pick->len, err);
	return r < 0 ? error_wrap(err, "%s", path) : 1;
}

/* A link for each applet, at the place that busybox itself names: "usr/bin/wget". */
static int put_applets(struct squashfs *sq, char *list, struct error *err)
{
	char *save = NULL;
	size_t n = 0;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *base = strrchr(line, '/');
		int r;

		/* Without an init the image leaves process 1 to the agent. */
		if (!base || line[0] == '/' || strstr(line, "..") || streq(base, "/init") ||
		    streq(base, "/" BUSYBOX))
			continue;
		if (++n > APPLETS_MAX)
			return error_set(err, ERR_INVALID, "busybox lists too many applets");
		r = squashfs_put_link(sq, line, "/bin/" BUSYBOX, err);
		if (r < 0)
			return r;
	}
	return n ? 0 : error_set(err, ERR_INVALID, "busybox lists no applets");
}

static int put_all(struct squashfs *sq, const void *busybox, size_t len, char *applets,
		   struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = squashfs_put_dir(sq, dirs[i].name, dirs[i].mode, err);
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = squashfs_put_file(sq, files[i].name, 0644, files[i].text, strlen(files[i].text),
				      err);
	if (r == 0)
		r = squashfs_put_link(sq, "var/run", "/run", err);
	if (r == 0)
		r = squashfs_put_file(sq, "bin/" BUSYBOX, 0755, busybox, len, err);
	return r < 0 ? r : put_applets(sq, applets, err);
}

/* Asks the binary itself; it is static and runs on any Linux host of its architecture. */
static int list_applets(const struct staging *staging, const void *busybox, size_t len,
			struct op *op, struct proc_result *ret_result, struct error *err)
{
	autofree char *path = staging_path(staging, BUSYBOX);
	const char *argv[] = { path, "--list-full", NULL };
	struct proc_run run = PROC_RUN_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	int r;

	if (!path)
		return error_errno(err, -ENOMEM, "busybox");
	r = write_new_file(staging->fd, BUSYBOX, busybox, len);
	if (r == 0 && fchmodat(staging->fd, BUSYBOX, 0700, 0) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, r, "write busybox");
	spec.argv = argv;
	run.cancel_fd = op_cancel_fd(op);
	r = proc_run(&spec, &run, ret_result, err);
	(void)unlinkat(staging->fd, BUSYBOX, 0);
	return r;
}

int mini_from_package(const struct image_paths *paths, struct staging *staging, int deb_fd,
		      struct op *op, struct image_info *info, struct error *err)
{
	struct proc_result applets CLEANUP(proc_result_done) = { 0 };
	struct squashfs sq CLEANUP(squashfs_abandon) = SQUASHFS_INIT;
	struct pick pick = { .data = NULL };
	autofree void *busybox = NULL;
	int r = deb_read(paths, deb_fd, op, pick_busybox, &pick, err);

	busybox = pick.data;
	if (r < 0)
		return r;
	if (!busybox)
		return error_set(err, ERR_INVALID, "the package has no bin/busybox");
	r = list_applets(staging, busybox, pick.len, op, &applets, err);
	if (r == 0)
		r = squashfs_start(&sq, staging, 0, op, err);
	if (r == 0)
		r = put_all(&sq, busybox, pick.len, applets.out, err);
	if (r == 0)
		r = squashfs_finish(&sq, err);
	if (r < 0)
		return r;
	info->config = json_pack("{s:[s], s:[s]}", "cmd", "/bin/sh", "env",
				 "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!info->config)
		return error_errno(err, -ENOMEM, "image mini");
	return image_publish(staging, info, err);
}

int image_build_mini(const struct image_paths *paths, struct op *op, struct image_info *ret_info,
		     struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct image_info info CLEANUP(image_info_done) = { .name = "mini" };
	struct apt_package package;
	autoclose int deb = -1;
	int r;

	op_stage(op, "resolve");
	r = apt_resolve("busybox-static", &package, op, err);
	if (r == 0)
		r = package_fetch(&package, paths->images, op, &staging, &deb, info.source, err);
	if (r < 0)
		return r;

	op_stage(op, "squashfs");
	made_from_set(&info.from, "build", "mini", NULL);
	r = mini_from_package(paths, &staging, deb, op, &info, err);
	if (r < 0)
		return error_wrap(err, "image mini");
	*ret_info = info;
	info.config = NULL;
	return 0;
}
