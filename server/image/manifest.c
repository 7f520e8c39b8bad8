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
#include "server/registry/reference.h"

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

/* --- where it came from --- */

void made_from_set(struct made_from *from, const char *how, const char *what, const char *more)
{
	*from = (struct made_from){ .how = "" };
	if (strlen(what) >= sizeof(from->what) || (more && strlen(more) >= sizeof(from->more)))
		return;
	(void)snprintf(from->how, sizeof(from->how), "%s", how);
	(void)snprintf(from->what, sizeof(from->what), "%s", what);
	(void)snprintf(from->more, sizeof(from->more), "%s", more ? more : "");
}

void made_from_registry(struct made_from *from, const char *how, const struct reference *ref,
			const char *digest)
{
	char text[sizeof(ref->host) + sizeof(ref->repo) + OCI_DIGEST_SIZE + 4];

	(void)snprintf(text, sizeof(text), "%s/%s@%s", ref->host, ref->repo, digest);
	made_from_set(from, how, text, NULL);
}

static int add_from(json_t *manifest, const struct made_from *from)
{
	return from->how[0] ? json_object_set_new(manifest, "from",
						  json_pack("{s:s, s:s, s:s}", "how", from->how,
							    "what", from->what, "more", from->more))
			    : 0;
}

static void read_from(const json_t *manifest, struct made_from *ret_from)
{
	const json_t *from = json_object_get(manifest, "from");
	const char *how = json_string_value(json_object_get(from, "how"));
	const char *what = json_string_value(json_object_get(from, "what"));

	*ret_from = (struct made_from){ .how = "" };
	if (how && what)
		made_from_set(ret_from, how, what,
			      json_string_value(json_object_get(from, "more")));
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
	if (!manifest || add_from(manifest, &info->from) < 0)
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
	if (!manifest || add_from(manifest, &info->from) < 0)
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
	read_from(manifest, &info.from);
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
	if (r < 0)
		return r;
	read_from(manifest, &info.from);
	*ret_info = info;
	return 0;
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
	if (streq(digest.hex, want))
		return 0;
	entry_mark_damaged(dir);
	return error_set(err, ERR_INTERNAL,
			 "%s of %s is damaged: its sha256 is %s; it is made again when it is next "
			 "needed, or when it is brought as it was the first time",
			 file, id, digest.hex);
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

/* --- whole or not --- */

static bool has_file(int dir, const char *name, uint64_t size)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == size;
}

static int open_whole(const char *parent, const char *id)
{
	struct error ignored = ERROR_INIT;
	autoclose int dir = -1;

	if (entry_open(parent, id, &dir, &ignored) < 0 || entry_is_damaged(dir))
		return -1;
	return take_fd(&dir);
}

/* The manifest of an entry that has the file in the size of record; NULL when it is not whole. */
static json_t *whole(const char *parent, const char *id, const char *file, int *ret_dir)
{
	autoclose int dir = open_whole(parent, id);
	struct error ignored = ERROR_INIT;
	json_t *manifest = NULL;
	json_int_t size;

	if (dir < 0 || entry_manifest(parent, id, &manifest, &ignored) < 0)
		return NULL;
	size = json_integer_value(json_object_get(manifest, "size_bytes"));
	if (size <= 0 || !has_file(dir, file, (uint64_t)size)) {
		json_decref(manifest);
		return NULL;
	}
	*ret_dir = take_fd(&dir);
	return manifest;
}

bool image_whole(const struct image_paths *paths, const char *image_id_text)
{
	autoclose int dir = -1;
	json_auto_t *manifest = whole(paths->images, image_id_text, SQUASHFS_FILE, &dir);

	return manifest != NULL;
}

/* Its modules have no sizes of record; a list says which there are. */
static bool has_modules(int dir, const json_t *modules)
{
	size_t n = json_array_size(modules);

	for (size_t i = 0; i < n; i++) {
		char path[200];
		const char *name = json_string_value(json_array_get(modules, i));
		int len = snprintf(path, sizeof(path), "modules/%s.ko", name ? name : "");

		if (len < 0 || (size_t)len >= sizeof(path) ||
		    faccessat(dir, path, R_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
	}
	return n == 0 || faccessat(dir, "modules/list", R_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool kernel_whole(const struct image_paths *paths, const char *kernel_id)
{
	autoclose int dir = -1;
	json_auto_t *manifest = whole(paths->kernels, kernel_id, "vmlinux", &dir);

	return manifest && has_modules(dir, json_object_get(manifest, "modules"));
}

bool image_known(const struct image_paths *paths, const char *image_id_text)
{
	struct error ignored = ERROR_INIT;
	json_auto_t *manifest = NULL;

	return entry_manifest(paths->images, image_id_text, &manifest, &ignored) == 0;
}

bool kernel_known(const struct image_paths *paths, const char *kernel_id)
{
	struct error ignored = ERROR_INIT;
	json_auto_t *manifest = NULL;

	return entry_manifest(paths->kernels, kernel_id, &manifest, &ignored) == 0;
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
