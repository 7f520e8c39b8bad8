/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "server/image/squashfs.h"

enum { SCHEMA = 1 };

void image_info_done(struct image_info *info)
{
	json_decref(info->config);
	info->config = NULL;
}

static int hash_file(const struct staging *staging, const char *name, struct digest *ret_digest,
		     uint64_t *ret_size, struct error *err)
{
	autoclose int fd = open_regular_beneath(staging->fd, name, O_RDONLY, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return error_errno(err, fd, "open %s", name);
	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "stat %s", name);
	r = digest_file(fd, ret_digest);
	*ret_size = (uint64_t)st.st_size;
	return r < 0 ? error_errno(err, r, "sha256 of %s", name) : 0;
}

/* The id covers what a guest sees: files and configuration. */
static int image_id(const char *rootfs, const json_t *config, char ret_id[STORE_ID_SIZE],
		    struct error *err)
{
	autofree char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
	autofree char *all = NULL;
	struct digest digest;
	int r;

	if (!text || asprintf(&all, "%s\n%s\n", rootfs, text) < 0) {
		all = NULL;
		return error_errno(err, -ENOMEM, "image id");
	}
	r = digest_bytes(all, strlen(all), &digest);
	if (r < 0)
		return error_errno(err, r, "image id");
	entry_id_format(&digest, ret_id);
	return 0;
}

int image_publish(struct staging *staging, struct image_info *info, struct error *err)
{
	json_auto_t *manifest = NULL;
	struct digest rootfs;
	int r;

	if (!info->config)
		info->config = json_object();
	r = hash_file(staging, SQUASHFS_FILE, &rootfs, &info->size_bytes, err);
	if (r == 0)
		r = image_id(rootfs.hex, info->config, info->id, err);
	if (r < 0)
		return r;
	manifest =
		json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:O}", "schema", SCHEMA, "id", info->id,
			  "name", info->name, "source", info->source, "rootfs", rootfs.hex,
			  "size_bytes", (json_int_t)info->size_bytes, "config", info->config);
	if (!manifest)
		return error_errno(err, -ENOMEM, "image manifest");
	return staging_publish(staging, info->id, manifest, err);
}

int kernel_publish(struct staging *staging, struct kernel_info *info, const json_t *modules,
		   struct error *err)
{
	json_auto_t *manifest = NULL;
	struct digest digest;
	int r = hash_file(staging, "vmlinux", &digest, &info->size_bytes, err);

	if (r < 0)
		return r;
	entry_id_format(&digest, info->id);
	manifest = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:s, s:o}", "schema", SCHEMA, "id",
			     info->id, "name", info->name, "version", info->version, "source",
			     info->source, "size_bytes", (json_int_t)info->size_bytes, "cmdline",
			     info->cmdline, "modules",
			     modules ? json_deep_copy(modules) : json_array());
	if (!manifest)
		return error_errno(err, -ENOMEM, "kernel manifest");
	return staging_publish(staging, info->id, manifest, err);
}

/* --- reading --- */

struct text_field {
	const char *key;
	char *to;
	size_t size;
};

static int read_fields(const json_t *manifest, const struct text_field *fields, size_t n,
		       uint64_t *ret_size_bytes, struct error *err)
{
	const json_t *size = json_object_get(manifest, "size_bytes");

	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_object_get(manifest, fields[i].key));

		if (!s || strlen(s) >= fields[i].size)
			return error_set(err, ERR_INTERNAL, "manifest: '%s' is missing or too long",
					 fields[i].key);
		(void)snprintf(fields[i].to, fields[i].size, "%s", s);
	}
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return error_set(err, ERR_INTERNAL, "manifest: 'size_bytes' is missing");
	*ret_size_bytes = (uint64_t)json_integer_value(size);
	return 0;
}

int image_load(const struct image_paths *paths, const char *image_id_text,
	       struct image_info *ret_info, struct error *err)
{
	struct image_info info = { 0 };
	const struct text_field fields[] = {
		{ "id", info.id, sizeof(info.id) },
		{ "name", info.name, sizeof(info.name) },
		{ "source", info.source, sizeof(info.source) },
	};
	json_auto_t *manifest = NULL;
	int r = entry_manifest(paths->images, image_id_text, &manifest, err);

	if (r == 0)
		r = read_fields(manifest, fields, ARRAY_SIZE(fields), &info.size_bytes, err);
	if (r < 0)
		return r;
	info.config = json_incref(json_object_get(manifest, "config"));
	if (!json_is_object(info.config)) {
		image_info_done(&info);
		return error_set(err, ERR_INTERNAL, "manifest: 'config' is missing");
	}
	*ret_info = info;
	return 0;
}

int kernel_load(const struct image_paths *paths, const char *kernel_id,
		struct kernel_info *ret_info, struct error *err)
{
	struct kernel_info info = { 0 };
	const struct text_field fields[] = {
		{ "id", info.id, sizeof(info.id) },
		{ "name", info.name, sizeof(info.name) },
		{ "version", info.version, sizeof(info.version) },
		{ "source", info.source, sizeof(info.source) },
		{ "cmdline", info.cmdline, sizeof(info.cmdline) },
	};
	json_auto_t *manifest = NULL;
	int r = entry_manifest(paths->kernels, kernel_id, &manifest, err);

	if (r == 0)
		r = read_fields(manifest, fields, ARRAY_SIZE(fields), &info.size_bytes, err);
	if (r == 0)
		*ret_info = info;
	return r;
}

/* --- verifying --- */

static int verify_file(const char *parent, const char *id, const char *file, const char *want,
		       struct error *err)
{
	autoclose int dir = -1;
	autoclose int fd = -1;
	struct digest digest;
	int r = entry_open(parent, id, &dir, err);

	if (r < 0)
		return r;
	fd = open_regular_beneath(dir, file, O_RDONLY, 0);
	if (fd < 0)
		return error_errno(err, fd, "open %s of %s", file, id);
	r = digest_file(fd, &digest);
	if (r < 0)
		return error_errno(err, r, "read %s of %s", file, id);
	if (!streq(digest.hex, want))
		return error_set(
			err, ERR_INTERNAL,
			"%s of %s is damaged: its sha256 is %s; delete it and make it again", file,
			id, digest.hex);
	return 0;
}

int image_verify(const struct image_paths *paths, const char *image_id_text, struct error *err)
{
	json_auto_t *manifest = NULL;
	char id[STORE_ID_SIZE];
	const json_t *config;
	const char *rootfs;
	int r = entry_manifest(paths->images, image_id_text, &manifest, err);

	if (r < 0)
		return r;
	rootfs = json_string_value(json_object_get(manifest, "rootfs"));
	config = json_object_get(manifest, "config");
	if (!rootfs || !config)
		return error_set(err, ERR_INTERNAL, "manifest of %s is incomplete", image_id_text);
	r = image_id(rootfs, config, id, err);
	if (r < 0)
		return r;
	if (!streq(id, image_id_text))
		return error_set(err, ERR_INTERNAL, "manifest of %s was changed", image_id_text);
	return verify_file(paths->images, image_id_text, SQUASHFS_FILE, rootfs, err);
}

int kernel_verify(const struct image_paths *paths, const char *kernel_id, struct error *err)
{
	if (!entry_id_valid(kernel_id))
		return error_set(err, ERR_INVALID, "'%.80s' is not an id of the store", kernel_id);
	return verify_file(paths->kernels, kernel_id, "vmlinux", strchr(kernel_id, '-') + 1, err);
}

/* --- paths, removal, start --- */

char *image_rootfs_path(const struct image_paths *paths, const char *image_id_text)
{
	return entry_path(paths->images, image_id_text, SQUASHFS_FILE);
}

char *kernel_vmlinux_path(const struct image_paths *paths, const char *kernel_id)
{
	return entry_path(paths->kernels, kernel_id, "vmlinux");
}

int image_remove(const struct image_paths *paths, const char *image_id_text, struct error *err)
{
	return entry_remove(paths->images, image_id_text, err);
}

int kernel_remove(const struct image_paths *paths, const char *kernel_id, struct error *err)
{
	return entry_remove(paths->kernels, kernel_id, err);
}

int image_store_init(const struct image_paths *paths, struct error *err)
{
	int r = entries_sweep(paths->images, err);

	return r < 0 ? r : entries_sweep(paths->kernels, err);
}
