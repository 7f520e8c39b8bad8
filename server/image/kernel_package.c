/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_package.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/deb.h"
#include "server/image/kernel_modules.h"
#include "server/image/manifest.h"
#include "server/image/vmlinux.h"

/* Limits on single members of a package, in bytes. */
enum { IMAGE_MAX = 256 << 20, MODULE_MAX = 64 << 20, TEXT_MAX = 4 << 20 };

struct unpack {
	struct staging *staging;
	struct op *op;
	struct kernel_info *info;
	struct kernel_modules modules;
	char *builtin;
	int deb_fd;
	uint64_t deb_bytes;
	bool have_image;
};

static void unpack_done(struct unpack *u)
{
	kernel_modules_done(&u->modules);
	free(u->builtin);
}

static int take_image(struct unpack *u, struct archive *ar, struct archive_entry *entry,
		      struct error *err)
{
	autofree void *image = NULL;
	autoclose int fd = -1;
	size_t len = 0;
	int r = deb_member_read(ar, entry, IMAGE_MAX, &image, &len, err);

	if (r == 0)
		r = vmlinux_version(image, len, u->info->version, sizeof(u->info->version), err);
	if (r < 0)
		return r;
	fd = open_beneath(u->staging->fd, "vmlinux", O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return error_errno(err, fd, "create vmlinux");
	u->have_image = true;
	return vmlinux_extract(image, len, fd, err);
}

static int take_module(struct unpack *u, struct archive *ar, struct archive_entry *entry,
		       const char *path, struct error *err)
{
	autofree void *data = NULL;
	size_t len = 0;
	int r = deb_member_read(ar, entry, MODULE_MAX, &data, &len, err);

	return r < 0 ? r : kernel_modules_add(&u->modules, path, data, len, err);
}

static int take_member(void *data, struct archive *ar, struct archive_entry *entry,
		       const char *path, struct error *err)
{
	struct unpack *u = data;
	const char *modules = strstr(path, "lib/modules/");
	char name[MODULE_NAME_MAX];
	off_t at = lseek(u->deb_fd, 0, SEEK_CUR);
	size_t len;
	int r = op_check(u->op, err);

	if (r < 0)
		return r;
	if (at > 0)
		op_progress(u->op, (uint64_t)at, u->deb_bytes, "bytes");
	if (archive_entry_filetype(entry) != S_IFREG)
		return 0;
	if (str_has_prefix(path, "boot/vmlinuz-") && !u->have_image)
		r = take_image(u, ar, entry, err);
	else if (str_has_prefix(path, "boot/config-"))
		r = deb_member_save(ar, entry, TEXT_MAX, u->staging->fd, "config", 0600, err);
	else if (modules && strstr(path, "/modules.builtin") && !strstr(path, ".modinfo") &&
		 !u->builtin)
		r = deb_member_read(ar, entry, TEXT_MAX, (void **)&u->builtin, &len, err);
	else if (modules && module_name(path, name) == 0)
		r = take_module(u, ar, entry, path, err);
	return r < 0 ? error_wrap(err, "%.200s", path) : 0;
}

static int unpack_package(struct unpack *u, int deb_fd, json_t *list, struct error *err)
{
	struct stat st;
	int r;

	u->deb_fd = deb_fd;
	if (fstat(deb_fd, &st) == 0)
		u->deb_bytes = (uint64_t)st.st_size;
	r = kernel_modules_init(&u->modules, u->staging, err);
	if (r == 0)
		r = deb_read(deb_fd, take_member, u, err);
	if (r < 0)
		return r;
	if (!u->have_image)
		return error_set(err, ERR_INVALID, "the package has no boot/vmlinuz-*");
	return kernel_modules_keep(&u->modules, u->builtin ? u->builtin : "", list, err);
}

int kernel_from_package(struct staging *staging, int deb_fd, struct op *op,
			struct kernel_info *info, struct error *err)
{
	struct unpack u CLEANUP(unpack_done) = {
		.staging = staging, .op = op, .info = info, .modules = { .all_fd = -1 }
	};
	json_auto_t *list = json_array();
	int r = list ? 0 : error_errno(err, -ENOMEM, "modules");

	if (r == 0)
		r = unpack_package(&u, deb_fd, list, err);
	return r < 0 ? r : kernel_publish(staging, info, list, err);
}
