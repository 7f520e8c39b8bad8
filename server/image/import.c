/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images from this machine's own files: a root file system as a tar archive (plain, gzip or zstd),
 * a squashfs or a folder; the OCI image layout as skopeo, umoci and buildah write it, as a folder
 * or packed as plain tar; what "docker save" writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/digest/digest.h"
#include "lib/json/json.h"
#include "server/image/bundle.h"
#include "server/image/image.h"
#include "server/image/layers.h"
#include "server/image/manifest.h"
#include "server/image/register.h"
#include "server/image/squashfs.h"
#include "server/registry/document.h"

/* An index may lead to another one, once. */
enum { INDEX_DEPTH_MAX = 2 };

/* What an import reads from, whatever its form is. */
struct layout {
	struct bundle bundle;
	int squashfs; /* there is nothing to unpack; -1: there is */
	struct oci_manifest manifest;
	int *layers;
	size_t n_layers;
};

static void layout_done(struct layout *l)
{
	close_keep_errno(l->squashfs);
	for (size_t i = 0; i < l->n_layers; i++)
		close_keep_errno(l->layers[i]);
	free(l->layers);
	oci_manifest_done(&l->manifest);
	bundle_done(&l->bundle);
}

static int add_layer(struct layout *l, int fd)
{
	int *bigger = reallocarray(l->layers, l->n_layers + 1, sizeof(int));

	if (!bigger)
		return -ENOMEM;
	l->layers = bigger;
	l->layers[l->n_layers++] = fd;
	return 0;
}

/* --- OCI image layout --- */

static void blob_path(const struct oci_blob *blob, char path[OCI_DIGEST_SIZE + 32])
{
	(void)snprintf(path, OCI_DIGEST_SIZE + 32, "blobs/sha256/%s",
		       blob->digest + strlen("sha256:"));
}

/* A blob of the layout, held against its digest. */
static int open_blob(const struct layout *l, const struct oci_blob *blob, int *ret_fd,
		     struct error *err)
{
	char path[OCI_DIGEST_SIZE + 32];
	autoclose int fd = -1;
	struct digest digest;
	int r;

	blob_path(blob, path);
	r = bundle_file(&l->bundle, path, &fd, err);
	if (r < 0)
		return r;
	r = digest_file(fd, &digest);
	if (r < 0)
		return error_errno(err, r, "read %s", path);
	if (!streq(digest.hex, blob->digest + strlen("sha256:")))
		return error_set(err, ERR_INVALID, "%s: its sha256 is %s", path, digest.hex);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int read_blob(const struct layout *l, const struct oci_blob *blob, char **ret_text,
		     size_t *ret_len, struct error *err)
{
	char path[OCI_DIGEST_SIZE + 32];
	autoclose int fd = -1;
	int r = open_blob(l, blob, &fd, err);

	blob_path(blob, path);
	return r < 0 ? r : bundle_text(&l->bundle, path, OCI_DOCUMENT_MAX, ret_text, ret_len, err);
}

static int read_manifest(struct layout *l, struct error *err)
{
	autofree char *text = NULL;
	size_t len;
	int r = bundle_text(&l->bundle, "index.json", OCI_DOCUMENT_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = oci_manifest_parse(text, len, oci_host_arch(), &l->manifest, err);
	for (int i = 0; r == 0 && l->manifest.is_index; i++) {
		struct oci_blob chosen = l->manifest.chosen;

		if (i == INDEX_DEPTH_MAX)
			return error_set(err, ERR_INVALID, "index: it leads to another one again");
		free(TAKE_PTR(text));
		r = read_blob(l, &chosen, &text, &len, err);
		if (r == 0)
			r = oci_manifest_parse(text, len, oci_host_arch(), &l->manifest, err);
	}
	return r;
}

static int open_layout(struct layout *l, json_t **ret_config, struct error *err)
{
	autofree char *text = NULL;
	size_t len;
	int r = read_manifest(l, err);

	if (r == 0)
		r = read_blob(l, &l->manifest.config, &text, &len, err);
	if (r == 0)
		r = oci_config_parse(text, len, oci_host_arch(), l->manifest.n_layers, ret_config,
				     err);
	for (size_t i = 0; i < l->manifest.n_layers && r == 0; i++) {
		autoclose int fd = -1;

		r = open_blob(l, &l->manifest.layers[i], &fd, err);
		if (r == 0 && add_layer(l, fd) < 0)
			r = error_errno(err, -ENOMEM, "import");
		if (r == 0)
			(void)take_fd(&fd);
	}
	return r;
}

/* --- docker archive --- */

/* Uncompressed, a layer has the digest that the configuration says; compressed, the layer's own
 * reader finds damage. */
static int check_layer(int fd, const char *name, const json_t *want, struct error *err)
{
	struct digest digest;
	const char *text = json_string_value(want);
	int r;

	if (!text || !str_has_prefix(text, "sha256:") || !bundle_is_tar(fd))
		return 0;
	r = digest_file(fd, &digest);
	if (r < 0)
		return error_errno(err, r, "read %.200s", name);
	return streq(digest.hex, text + strlen("sha256:"))
		       ? 0
		       : error_set(err, ERR_INVALID, "%.200s: its sha256 is %s", name, digest.hex);
}

static int open_docker_layers(struct layout *l, const json_t *names, const json_t *diff_ids,
			      struct error *err)
{
	size_t n = json_array_size(names);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const char *name = json_string_value(json_array_get(names, i));
		autoclose int fd = -1;

		if (!name)
			return error_set(err, ERR_INVALID, "manifest.json: a layer is no text");
		r = bundle_file(&l->bundle, name, &fd, err);
		if (r == 0)
			r = check_layer(fd, name, json_array_get(diff_ids, i), err);
		if (r == 0 && add_layer(l, fd) < 0)
			r = error_errno(err, -ENOMEM, "import");
		if (r == 0)
			(void)take_fd(&fd);
	}
	return r;
}

/* "docker save": manifest.json names one or more images; there must be one. */
static int open_docker(struct layout *l, json_t **ret_config, struct error *err)
{
	autofree char *text = NULL;
	autofree char *config = NULL;
	json_auto_t *root = NULL;
	json_auto_t *config_root = NULL;
	const json_t *image, *names;
	const char *config_name;
	size_t len;
	int r = bundle_text(&l->bundle, "manifest.json", OCI_DOCUMENT_MAX, &text, &len, err);

	if (r < 0)
		return r;
	root = json_parse(text, len, err);
	if (!root)
		return error_wrap(err, "manifest.json");
	if (json_array_size(root) != 1)
		return error_set(err, ERR_INVALID, "the archive has %zu images; save one at a time",
				 json_array_size(root));
	image = json_array_get(root, 0);
	names = json_object_get(image, "Layers");
	config_name = json_string_value(json_object_get(image, "Config"));
	if (!config_name || json_array_size(names) == 0 || json_array_size(names) > OCI_LAYERS_MAX)
		return error_set(err, ERR_INVALID,
				 "manifest.json: 'Config' or 'Layers' is missing or too long");
	r = bundle_text(&l->bundle, config_name, OCI_DOCUMENT_MAX, &config, &len, err);
	if (r == 0)
		r = oci_config_parse(config, len, oci_host_arch(), json_array_size(names),
				     ret_config, err);
	if (r < 0)
		return r;
	config_root = json_parse(config, len, err);
	return open_docker_layers(
		l, names, json_object_get(json_object_get(config_root, "rootfs"), "diff_ids"), err);
}

/* --- */

/* A root file system is its own only layer, and says nothing about how it is run. */
static int open_rootfs(struct layout *l, int fd, json_t **ret_config, struct error *err)
{
	autoclose int owned = fd;

	*ret_config = json_object();
	if (!*ret_config || add_layer(l, owned) < 0)
		return error_errno(err, -ENOMEM, "import");
	(void)take_fd(&owned);
	return 0;
}

/* A root file system too, but for the archive. */
static int open_root_folder(const struct image_paths *paths, int fd, struct op *op,
			    struct layout *l, json_t **ret_config, struct error *err)
{
	autoclose int folder = fd;
	int tar, r;

	if (!register_is_root(folder))
		return error_set(err, ERR_INVALID,
				 "the folder is no OCI image layout, as it has no index.json, and "
				 "no root file system, as it has no bin, sbin or usr");
	r = register_root(paths, folder, op, &tar, err);
	return r < 0 ? r : open_rootfs(l, tar, ret_config, err);
}

/* As an archive may be: the first bytes of gzip and zstd. */
static bool packed(int fd)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	uint8_t first[4] = { 0 };

	return pread(fd, first, sizeof(first), 0) > 0 &&
	       (memcmp(first, gzip, sizeof(gzip)) == 0 || memcmp(first, zstd, sizeof(zstd)) == 0);
}

static int open_archive(const struct image_paths *paths, int fd, struct op *op, struct layout *l,
			json_t **ret_config, struct error *err)
{
	int copy = bundle_is_tar(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	struct error no_bundle = ERROR_INIT;
	autoclose int owned = fd;

	if (copy < 0 && !packed(fd))
		return error_set(err, ERR_INVALID,
				 "neither a squashfs nor a tar archive, be it plain or packed with "
				 "gzip or zstd");
	/* A root file system may have more members than a bundle; then it is none. */
	if (copy >= 0 && bundle_open_tar(paths, copy, op, &l->bundle, &no_bundle) == 0) {
		if (bundle_has(&l->bundle, "index.json") && bundle_has(&l->bundle, "oci-layout"))
			return open_layout(l, ret_config, err);
		if (bundle_has(&l->bundle, "manifest.json"))
			return open_docker(l, ret_config, err);
	}
	return open_rootfs(l, take_fd(&owned), ret_config, err);
}

static int open_folder(const struct image_paths *paths, int fd, struct op *op, struct layout *l,
		       json_t **ret_config, struct error *err)
{
	struct stat st;

	if (fstatat(fd, "index.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return open_root_folder(paths, fd, op, l, ret_config, err);
	bundle_open_folder(fd, &l->bundle);
	return open_layout(l, ret_config, err);
}

static int open_source(const struct image_paths *paths, const char *path, struct op *op,
		       struct layout *l, json_t **ret_config, struct error *err)
{
	autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERR_INVALID, "open %s: %s", path, strerrordesc_np(errno));
	if (S_ISDIR(st.st_mode))
		return open_folder(paths, take_fd(&fd), op, l, ret_config, err);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s is neither a file nor a folder", path);
	if (!register_is_squashfs(fd))
		return open_archive(paths, take_fd(&fd), op, l, ret_config, err);
	l->squashfs = take_fd(&fd);
	*ret_config = json_object();
	return *ret_config ? 0 : error_errno(err, -ENOMEM, "import");
}

int image_from_root(const struct image_paths *paths, int tar_fd, struct op *op,
		    struct image_info *info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	int r = staging_open(paths->images, &staging, err);

	/* A configuration may be another image's; how that one was made is not. */
	info->from = (struct made_from){ .how = "" };
	if (r == 0)
		r = layers_to_squashfs(paths, &staging, &tar_fd, 1, op, err);
	if (r < 0)
		return r;
	op_stage(op, "digest");
	return image_publish(&staging, info, err);
}

int image_import(const struct image_paths *paths, const char *path, struct op *op,
		 struct image_info *ret_info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct image_info info CLEANUP(image_info_done) = { .name = "" };
	struct layout l CLEANUP(layout_done) = { .bundle = BUNDLE_INIT, .squashfs = -1 };
	autoclose int cache = open_dir_create(paths->cache, 0700);
	int r;

	if (cache < 0)
		return error_errno(err, cache, "open %s", paths->cache);
	op_stage(op, "resolve");
	r = open_source(paths, path, op, &l, &info.config, err);
	if (r == 0)
		r = staging_open(paths->images, &staging, err);
	if (r == 0)
		r = l.squashfs >= 0
			    ? register_squashfs(l.squashfs, &staging, op, err)
			    : layers_to_squashfs(paths, &staging, l.layers, l.n_layers, op, err);
	/* What a registry would have to answer for is the file's own fault here. */
	if (r < 0)
		return err->code == ERR_UPSTREAM || err->code == ERR_BAD_REQUEST ||
				       err->code == ERR_NOT_FOUND
			       ? error_recode(err, ERR_INVALID)
			       : r;
	(void)snprintf(info.source, sizeof(info.source), "%.500s", path);
	(void)snprintf(info.name, sizeof(info.name), "import");
	made_from_set(&info.from, "import", path, NULL);
	op_stage(op, "digest");
	r = image_publish(&staging, &info, err);
	if (r < 0)
		return r;
	*ret_info = info;
	info.config = NULL;
	return 0;
}
