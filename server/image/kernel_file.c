/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels from files: of this machine, downloaded with a known digest, or of a registry. A Debian
 * package, or a kernel by itself with, optionally, a folder of modules.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/image.h"
#include "server/image/inflate.h"
#include "server/image/kernel_modules.h"
#include "server/image/kernel_package.h"
#include "server/image/manifest.h"
#include "server/image/vmlinux.h"
#include "server/registry/download.h"
#include "server/registry/registry.h"

static const char package_mark[] = "!<arch>\n";

/* What is compressed as a whole (vmlinux.gz, .xz, .zst) is decompressed first, into a file of the
 * staging folder that has no name any more. */
static int inflate_file(const struct unpacker *u, const struct staging *staging,
			const struct vmlinux_file *file, int *ret_fd, struct error *err)
{
	const struct inflate what = {
		.fd = file->fd, .len = file->len, .out_len = UINT64_MAX, .out_max = VMLINUX_ELF_MAX
	};
	autoclose int fd = open_beneath(staging->fd, "plain", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return error_errno(err, fd, "create a file for the kernel");
	(void)unlinkat(staging->fd, "plain", 0);
	if (inflate(u, &what, inflate_to_fd, &fd, err) < 0) {
		if (err->code != ERR_INVALID)
			return error_to_errno(err);
		*err = ERROR_INIT;
		return error_set(err, ERR_INVALID, "neither a bzImage nor a 64-bit x86 ELF kernel");
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

static int write_vmlinux(const struct unpacker *u, const struct staging *staging,
			 const struct vmlinux_file *file, int fd, struct kernel_info *info,
			 struct error *err)
{
	struct vmlinux_file plain CLEANUP(vmlinux_unmap) = VMLINUX_FILE_INIT;
	const struct vmlinux_file *kernel = file;
	autoclose int plain_fd = -1;
	int r = 0;

	if (vmlinux_kind(file->bytes, file->len) == VMLINUX_UNKNOWN) {
		r = inflate_file(u, staging, file, &plain_fd, err);
		if (r == 0)
			r = vmlinux_map(plain_fd, &plain, err);
		if (r < 0)
			return r;
		kernel = &plain;
	}
	r = vmlinux_extract(u, kernel, fd, err);
	return r < 0 ? r
		     : vmlinux_version(kernel->bytes, kernel->len, info->version,
				       sizeof(info->version), err);
}

static int take_kernel(const struct unpacker *u, struct staging *staging,
		       const struct vmlinux_file *file, const char *modules,
		       struct kernel_info *info, struct error *err)
{
	autoclose int fd = open_beneath(staging->fd, "vmlinux", O_RDWR | O_CREAT | O_EXCL, 0600);
	struct vmlinux_file elf CLEANUP(vmlinux_unmap) = VMLINUX_FILE_INIT;
	autofree char *builtin = NULL;
	json_auto_t *list = json_array();
	int r;

	if (fd < 0 || !list)
		return error_errno(err, fd < 0 ? fd : -ENOMEM, "create vmlinux");
	op_stage(u->op, "unpack");
	r = write_vmlinux(u, staging, file, fd, info, err);
	if (r == 0)
		r = vmlinux_map(fd, &elf, err);
	if (r < 0)
		return r;
	if (!vmlinux_is_whole(elf.bytes, elf.len))
		return error_set(err, ERR_INVALID,
				 "the kernel is cut short: its headers point outside of the file");
	if (!vmlinux_has_pvh(elf.bytes, elf.len))
		return error_set(err, ERR_INVALID,
				 "the kernel lacks the PVH note that starts it as an ELF file; "
				 "build it with CONFIG_PVH=y");
	builtin = vmlinux_builtin(elf.bytes, elf.len);
	if (!builtin)
		return error_errno(err, -ENOMEM, "unpack");
	op_stage(u->op, "modules");
	r = kernel_modules_take(staging, u, modules, builtin, list, err);
	op_stage(u->op, "digest");
	return r < 0 ? r : kernel_publish(staging, info, list, err);
}

static int import_fd(const struct image_paths *paths, int fd, const char *modules, struct op *op,
		     struct kernel_info *info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct vmlinux_file file CLEANUP(vmlinux_unmap) = VMLINUX_FILE_INIT;
	struct unpacker u CLEANUP(unpacker_done) = UNPACKER_INIT;
	int r = vmlinux_map(fd, &file, err);

	(void)snprintf(info->cmdline, sizeof(info->cmdline), "%s", KERNEL_PACKAGE_CMDLINE);
	if (r == 0)
		r = staging_open(paths->kernels, &staging, err);
	if (r < 0)
		return r;
	if (file.len < strlen(package_mark) ||
	    memcmp(file.bytes, package_mark, strlen(package_mark)) != 0) {
		r = unpacker_start(paths, UNPACK_FILES, -1, op, &u, err);
		return r < 0 ? r : take_kernel(&u, &staging, &file, modules, info, err);
	}
	if (modules)
		return error_set(err, ERR_INVALID, "a package brings its own modules");
	op_stage(op, "unpack");
	return kernel_from_package(paths, &staging, fd, op, info, err);
}

/*
 * A file of this machine, as it is now: a copy that has no name. What is mapped must not become
 * shorter under our hands, and whoever else has the file open may do as they like.
 */
static int take_file(const struct image_paths *paths, const char *path, int *ret_fd,
		     struct error *err)
{
	autoclose int from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	autoclose int cache = -1;
	autoclose int to = -1;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return error_set(err, ERR_INVALID, "open it: %s", strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "it is no file");
	if ((uint64_t)st.st_size > VMLINUX_FILE_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %llu bytes are no kernel",
				 (unsigned long long)VMLINUX_FILE_MAX);
	cache = open_dir_create(paths->cache, 0700);
	if (cache < 0)
		return error_errno(err, cache, "open %s", paths->cache);
	to = open_unnamed(paths->cache);
	r = to < 0 ? to : copy_sparse(from, to);
	if (r < 0)
		return error_errno(err, r, "copy it");
	*ret_fd = take_fd(&to);
	return 0;
}

int kernel_import_file(const struct image_paths *paths, const char *path, const char *modules,
		       struct op *op, struct kernel_info *ret_info, struct error *err)
{
	struct kernel_info info = { .name = "file" };
	autoclose int fd = -1;
	int r = take_file(paths, path, &fd, err);

	(void)snprintf(info.source, sizeof(info.source), "%.500s", path);
	made_from_set(&info.from, "file", path, modules);
	if (r == 0)
		r = import_fd(paths, fd, modules, op, &info, err);
	if (r < 0)
		return error_wrap(err, "%.200s", path);
	*ret_info = info;
	return 0;
}

int kernel_import_url(const struct image_paths *paths, const struct registry_settings *settings,
		      const char *url, const char *sha256, struct op *op,
		      struct kernel_info *ret_info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct kernel_info info = { .name = "download" };
	autoclose int fd = -1;
	int r = staging_open(paths->kernels, &staging, err);

	if (r < 0)
		return r;
	fd = open_beneath(staging.fd, "download", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return error_errno(err, fd, "create the download");
	op_stage(op, "download");
	r = download_file(settings, url, sha256, VMLINUX_FILE_MAX, fd, op, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = error_errno(err, -errno, "read the download");
	(void)snprintf(info.source, sizeof(info.source), "%.500s", url);
	made_from_set(&info.from, "url", url, sha256);
	if (r == 0)
		r = import_fd(paths, fd, NULL, op, &info, err);
	if (r < 0)
		return error_wrap(err, "%.200s", url);
	*ret_info = info;
	return 0;
}

/* The file in the cache, from then on as one of this machine. */
static int pull_file(const struct image_paths *paths, struct registry *registry,
		     struct pulled *pulled, struct error *err)
{
	autofree char *blobs = path_join(paths->cache, "blobs");

	if (!blobs)
		return error_errno(err, -ENOMEM, "pull");
	if (pulled->manifest.layers[0].size > VMLINUX_FILE_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %llu bytes are no kernel",
				 (unsigned long long)VMLINUX_FILE_MAX);
	op_stage(registry->op, "download");
	return registry_layers(registry, blobs, pulled, err);
}

int kernel_pull(const struct image_paths *paths, const struct registry_settings *settings,
		const char *reference, struct op *op, struct kernel_info *ret_info,
		struct error *err)
{
	struct registry *registry CLEANUP(registry_close_p)
	= NULL;
	struct pulled pulled CLEANUP(pulled_done) = PULLED_INIT;
	struct kernel_info info = { .name = "artifact" };
	int r = registry_open(settings, reference, op, &registry, err);

	if (r == 0)
		r = registry_resolve_kernel(registry, &pulled, err);
	if (r == 0)
		r = pull_file(paths, registry, &pulled, err);
	if (r < 0)
		return r;
	pulled_source(&registry->ref, pulled.digest, info.source);
	made_from_registry(&info.from, "artifact", &registry->ref, pulled.digest);
	r = import_fd(paths, pulled.layers[0], NULL, op, &info, err);
	if (r == 0)
		*ret_info = info;
	return r;
}
