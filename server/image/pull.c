/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image from a registry: resolve, download, unpack, publish. What was made of a manifest once is
 * remembered in the cache by the manifest's digest; the same image under another name, or pulled
 * again, costs two small requests. Who wants it meanwhile waits for the one that makes it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/empty_disks.h"
#include "server/image/image.h"
#include "server/image/kernel_build.h"
#include "server/image/known.h"
#include "server/image/layers.h"
#include "server/image/manifest.h"
#include "server/registry/registry.h"

#define BLOBS_FOLDER "blobs"
#define KNOWN_FOLDER "pulled"

/* The image that was made of this manifest, if it is still there. */
static bool find_known(const struct image_paths *paths, const char *digest,
		       struct image_info *ret_info)
{
	struct error ignored = ERROR_INIT;
	char id[STORE_ID_SIZE];

	return known_find(paths, paths->images, KNOWN_FOLDER, digest, id) &&
	       image_whole(paths, id) && image_load(paths, id, ret_info, &ignored) == 0;
}

static int make(const struct image_paths *paths, struct registry *registry, struct pulled *pulled,
		struct image_info *info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	autofree char *blobs = path_join(paths->cache, BLOBS_FOLDER);
	int r;

	if (!blobs)
		return error_errno(err, -ENOMEM, "pull");
	op_stage(registry->op, "download");
	r = registry_layers(registry, blobs, pulled, err);
	if (r == 0)
		r = staging_open(paths->images, &staging, err);
	if (r == 0)
		r = layers_to_squashfs(paths, &staging, pulled->layers, pulled->n_layers,
				       registry->op, err);
	if (r < 0)
		return r;
	op_stage(registry->op, "digest");
	info->config = json_incref(pulled->config);
	r = image_publish(&staging, info, err);
	if (r == 0)
		known_remember(paths, KNOWN_FOLDER, pulled->digest, info->id);
	return r;
}

int image_pull(const struct image_paths *paths, const struct registry_settings *settings,
	       const char *reference, struct op *op, struct image_info *ret_info, struct error *err)
{
	struct image_info info CLEANUP(image_info_done) = { .name = "" };
	struct registry *registry CLEANUP(registry_close_p)
	= NULL;
	struct pulled pulled CLEANUP(pulled_done) = PULLED_INIT;
	struct known_lock lock CLEANUP(known_unlock) = KNOWN_LOCK_INIT;
	const struct reference *ref;
	int r = registry_open(settings, reference, op, &registry, err);

	if (r < 0)
		return r;
	ref = &registry->ref;
	r = registry_resolve(registry, &pulled, err);
	if (r == 0)
		r = known_lock(paths, KNOWN_FOLDER, pulled.digest, op, &lock, err);
	if (r == 0 && !find_known(paths, pulled.digest, &info)) {
		(void)snprintf(info.name, sizeof(info.name), "%.255s", reference);
		made_from_registry(&info.from, "pull", ref, pulled.digest);
		r = make(paths, registry, &pulled, &info, err);
	}
	if (r < 0)
		return r;
	pulled_source(ref, pulled.digest, info.source);
	*ret_info = info;
	info.config = NULL;
	return 0;
}

int image_cache_prune(const struct image_paths *paths, int64_t age_s, bool dry_run,
		      uint64_t *ret_bytes, struct error *err)
{
	autofree char *folder = path_join(paths->cache, BLOBS_FOLDER);
	int r;

	if (!folder)
		return error_errno(err, -ENOMEM, "clean the cache");
	r = blobs_prune(folder, age_s, dry_run, ret_bytes, err);
	if (r == 0)
		r = kernel_build_prune(paths, age_s, dry_run, ret_bytes, err);
	return r < 0 ? r : empty_disks_prune(paths->cache, age_s, dry_run, ret_bytes, err);
}
