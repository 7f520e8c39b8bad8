/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the store nobody refers to any more: files of a name that was given to something newer,
 * of an image whose last VM has gone after its name, of a server that was killed between
 * publication and row.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/catalog/catalog_internal.h"
#include "server/image/store.h"

void catalog_set_users(struct catalog *catalog, catalog_users_fn *fn, void *data)
{
	catalog->users = fn;
	catalog->users_data = data;
}

bool catalog_used(const struct catalog *catalog, const char *id)
{
	return catalog->users && catalog->users(catalog->users_data, id);
}

size_t catalog_names_of(const struct catalog *catalog, const char *image_id)
{
	size_t n = 0;

	for (size_t i = 0; i < catalog->n_images; i++)
		n += streq(catalog->images[i].id, image_id);
	return n;
}

/* Bytes of the files of an entry; those of kernels have a folder of modules. */
static uint64_t folder_bytes(int dir_fd, int depth)
{
	DIR *dir = dir_entries(dir_fd);
	const struct dirent *e;
	uint64_t bytes = 0;

	if (!dir)
		return 0;
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL) {
		autoclose int fd = -1;
		struct stat st;

		if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
		    fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bytes += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth > 0)
			fd = open_beneath(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0)
			bytes += folder_bytes(fd, depth - 1);
	}
	(void)closedir(dir);
	return bytes;
}

int catalog_image_bytes(const struct catalog *catalog, const char *image_id, uint64_t *ret_bytes,
			struct error *err)
{
	autoclose int fd = -1;
	int r = entry_open(catalog->c.paths->images, image_id, &fd, err);

	if (r == 0)
		*ret_bytes = folder_bytes(fd, 1);
	return r;
}

static bool referred_to(const struct catalog *catalog, const char *id)
{
	return catalog_names_of(catalog, id) > 0 || catalog_kernel_by_id(catalog, id) ||
	       catalog_used(catalog, id);
}

struct collecting {
	struct catalog *catalog;
	int64_t older_than;
	bool dry_run;
	uint64_t bytes;
};

static int collect_one(struct collecting *c, const char *parent, int dir, const char *id,
		       struct error *err)
{
	autoclose int fd = -1;
	struct stat st;
	int r;

	if (!entry_id_valid(id) || referred_to(c->catalog, id))
		return 0;
	fd = open_beneath(dir, id, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_mtim.tv_sec > c->older_than)
		return 0;
	c->bytes += folder_bytes(fd, 1);
	if (c->dry_run)
		return 0;
	r = entry_remove(parent, id, err);
	if (r == 0)
		log_info("removed %s of the store: nothing refers to it", id);
	return r;
}

static int collect_in(struct collecting *c, const char *parent, struct error *err)
{
	autoclose int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	dir = fd < 0 ? NULL : dir_entries(fd);
	if (!dir)
		return error_errno(err, -errno, "read %s", parent);
	/* One DIR belongs to one caller. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL)
		r = collect_one(c, parent, fd, e->d_name, err);
	(void)closedir(dir);
	return r;
}

int catalog_collect(struct catalog *catalog, int64_t grace_s, bool dry_run, uint64_t *ret_bytes,
		    struct error *err)
{
	struct collecting c = { .catalog = catalog,
				.older_than = (int64_t)time(NULL) - grace_s,
				.dry_run = dry_run };
	int r = collect_in(&c, catalog->c.paths->images, err);

	if (r == 0)
		r = collect_in(&c, catalog->c.paths->kernels, err);
	*ret_bytes = c.bytes;
	return r;
}

int catalog_tag_image(struct catalog *catalog, const char *image, const char *name, const char *who,
		      struct error *err)
{
	const struct image_row *row = catalog_image(catalog, image);
	autofree struct image_row *copy = NULL;
	int r;

	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no image '%s'", image);
	copy = malloc(sizeof(*copy));
	if (!copy)
		return error_errno(err, -ENOMEM, "image");
	*copy = *row;
	(void)snprintf(copy->name, sizeof(copy->name), "%s", name);
	copy->created_ms = clock_wall_ms();
	r = images_put(catalog->c.store, copy, err);
	if (r == 0)
		r = catalog_reload(catalog, err);
	if (r == 0)
		catalog_tell(catalog, "image.added", name, who, NULL);
	return r;
}
