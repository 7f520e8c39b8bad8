/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/deb.h"
#include "server/image/kernel_modules.h"
#include "server/image/manifest.h"
#include "server/image/vmlinux.h"

/* The kernel as the package has it, until it is unpacked. */
#define IMAGE "vmlinuz"

/* Limits on single members of a package, in bytes. */
enum { IMAGE_MAX = 256 << 20, TEXT_MAX = 4 << 20 };

struct unpack {
	const struct image_paths *paths;
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

static int take_module(struct unpack *u, struct deb *deb, const char *path, struct error *err)
{
	autofree void *data = NULL;
	size_t len = 0;
	int r = deb_member_read(deb, KERNEL_MODULE_MAX, &data, &len, err);

	return r < 0 ? r : kernel_modules_add(&u->modules, path, data, len, err);
}

static int take_image(struct unpack *u, struct deb *deb, struct error *err)
{
	u->have_image = true;
	return deb_member_save(deb, IMAGE_MAX, u->staging->fd, IMAGE, 0600, err);
}

static int take_member(void *data, struct deb *deb, const char *path, struct error *err)
{
	struct unpack *u = data;
	const char *modules = strstr(path, "lib/modules/");
	char name[MODULE_NAME_MAX];
	off_t at = lseek(u->deb_fd, 0, SEEK_CUR);
	size_t len;
	int r = 0;

	if (at > 0)
		op_progress(u->op, (uint64_t)at, u->deb_bytes, "bytes");
	if (str_has_prefix(path, "boot/vmlinuz-") && !u->have_image)
		r = take_image(u, deb, err);
	else if (str_has_prefix(path, "boot/config-"))
		r = deb_member_save(deb, TEXT_MAX, u->staging->fd, "config", 0600, err);
	else if (modules && strstr(path, "/modules.builtin") && !strstr(path, ".modinfo") &&
		 !u->builtin)
		r = deb_member_read(deb, TEXT_MAX, (void **)&u->builtin, &len, err);
	else if (modules && module_name(path, name) == 0)
		r = take_module(u, deb, path, err);
	return r < 0 ? error_wrap(err, "%.200s", path) : 0;
}

/* The kernel that was found, as an ELF file. */
static int unpack_image(struct unpack *u, struct error *err)
{
	autoclose int from = open_regular_beneath(u->staging->fd, IMAGE, O_RDONLY, 0);
	autoclose int to =
		open_beneath(u->staging->fd, "vmlinux", O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct vmlinux_file file CLEANUP(vmlinux_unmap) = VMLINUX_FILE_INIT;
	struct unpacker unpacker CLEANUP(unpacker_done) = UNPACKER_INIT;
	int r;

	if (from < 0 || to < 0)
		return error_errno(err, from < 0 ? from : to, "unpack the kernel");
	(void)unlinkat(u->staging->fd, IMAGE, 0);
	r = vmlinux_map(from, &file, err);
	if (r == 0)
		r = vmlinux_version(file.bytes, file.len, u->info->version,
				    sizeof(u->info->version), err);
	if (r == 0)
		r = unpacker_start(u->paths, UNPACK_FILES, -1, u->op, &unpacker, err);
	if (r == 0)
		r = vmlinux_extract(&unpacker, &file, to, err);
	return r < 0 ? error_wrap(err, "boot/vmlinuz") : 0;
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
		r = deb_read(u->paths, deb_fd, u->op, take_member, u, err);
	if (r < 0)
		return r;
	if (!u->have_image)
		return error_set(err, ERR_INVALID, "the package has no boot/vmlinuz-*");
	r = unpack_image(u, err);
	return r < 0 ? r
		     : kernel_modules_keep(&u->modules, u->builtin ? u->builtin : "", list, err);
}

int kernel_from_package(const struct image_paths *paths, struct staging *staging, int deb_fd,
			struct op *op, struct kernel_info *info, struct error *err)
{
	struct unpack u CLEANUP(unpack_done) = { .paths = paths,
						 .staging = staging,
						 .op = op,
						 .info = info,
						 .modules = { .all_fd = -1 } };
	json_auto_t *list = json_array();
	int r = list ? 0 : error_errno(err, -ENOMEM, "modules");

	if (r == 0)
		r = unpack_package(&u, deb_fd, list, err);
	return r < 0 ? r : kernel_publish(staging, info, list, err);
}
