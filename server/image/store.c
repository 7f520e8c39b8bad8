/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"
#include "lib/json/json.h"

#define ID_PREFIX "sha256-"
#define TEMPORARY "."
#define MANIFEST  "manifest.json"
#define DAMAGED   "damaged"

enum { DIR_MODE = 0700, FILE_MODE = 0600 };

int staging_open(const char *parent, struct staging *ret_staging, struct error *err)
{
	struct staging s CLEANUP(staging_done) = STAGING_INIT;

	s.parent_fd = open_dir_create(parent, DIR_MODE);
	if (s.parent_fd < 0)
		return error_errno(err, s.parent_fd, "open %s", parent);
	(void)snprintf(s.name, sizeof(s.name), TEMPORARY "new-%s", id_new().s);
	s.path = path_join(parent, s.name);
	if (!s.path)
		return error_errno(err, -ENOMEM, "open %s", parent);
	s.fd = open_subdir(s.parent_fd, s.name, DIR_MODE);
	if (s.fd < 0)
		return error_errno(err, s.fd, "make a folder in %s", parent);
	*ret_staging = s;
	s = STAGING_INIT;
	return 0;
}

char *staging_path(const struct staging *staging, const char *name)
{
	return path_join(staging->path, name);
}

void staging_done(struct staging *staging)
{
	if (staging->fd >= 0 && staging->name[0])
		(void)remove_tree_at(staging->parent_fd, staging->name);
	close_keep_errno(staging->fd);
	close_keep_errno(staging->parent_fd);
	free(staging->path);
	*staging = STAGING_INIT;
}

/* Only what is on the disk may be published: files first, then the folder that names them. */
static int sync_folder(int dir_fd, int depth)
{
	DIR *dir = dir_entries(dir_fd);
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return -errno;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL) {
		autoclose int fd = -1;

		if (e->d_name[0] == '.')
			continue;
		fd = open_beneath(dir_fd, e->d_name, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0)
			r = fd;
		else if (e->d_type == DT_DIR)
			r = depth > 0 ? sync_folder(fd, depth - 1) : -ELOOP;
		else if (fsync(fd) < 0)
			r = -errno;
	}
	(void)closedir(dir);
	return r == 0 && fsync(dir_fd) < 0 ? -errno : r;
}

static bool same_manifest(int parent_fd, const char *id, const char *text, size_t len)
{
	autoclose int dir = open_beneath(parent_fd, id, O_RDONLY | O_DIRECTORY, 0);
	autofree char *there = NULL;
	size_t there_len = 0;

	return dir >= 0 &&
	       read_file_at(dir, MANIFEST, STORE_MANIFEST_MAX, &there, &there_len) == 0 &&
	       there_len == len && memcmp(there, text, len) == 0;
}

void entry_mark_damaged(int dir_fd)
{
	(void)!write_file_at(dir_fd, DAMAGED, "", 0, FILE_MODE);
}

bool entry_is_damaged(int dir_fd)
{
	return faccessat(dir_fd, DAMAGED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* All that is in the folder `ours` is in `there` too, with the same sizes. */
static bool has_all(int ours, int there, int depth)
{
	DIR *dir = fdopendir(dup(ours));
	const struct dirent *e;
	bool all = true;

	if (!dir)
		return false;
	rewinddir(dir);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (all && (e = readdir(dir)) != NULL) {
		struct stat a, b;

		if (e->d_name[0] == '.')
			continue;
		all = fstatat(ours, e->d_name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
		      fstatat(there, e->d_name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		      (a.st_mode & S_IFMT) == (b.st_mode & S_IFMT) &&
		      (!S_ISREG(a.st_mode) || a.st_size == b.st_size);
		if (all && S_ISDIR(a.st_mode)) {
			autoclose int one =
				open_beneath(ours, e->d_name, O_RDONLY | O_DIRECTORY, 0);
			autoclose int two =
				open_beneath(there, e->d_name, O_RDONLY | O_DIRECTORY, 0);

			all = depth > 0 && one >= 0 && two >= 0 && has_all(one, two, depth - 1);
		}
	}
	(void)closedir(dir);
	return all;
}

static bool same_entry(const struct staging *staging, const char *id)
{
	autoclose int there = open_beneath(staging->parent_fd, id, O_RDONLY | O_DIRECTORY, 0);

	return there >= 0 && !entry_is_damaged(there) && has_all(staging->fd, there, 1);
}

/* Its age is what the collector's time of grace is counted from. */
static int entry_touch(int parent_fd, const char *id, struct error *err)
{
	return utimensat(parent_fd, id, NULL, AT_SYMLINK_NOFOLLOW) < 0
		       ? error_errno(err, -errno, "publish %s", id)
		       : 0;
}

int staging_publish(struct staging *staging, const char *id, const json_t *manifest,
		    struct error *err)
{
	autofree char *text = json_dumps(manifest, JSON_INDENT(2) | JSON_SORT_KEYS);
	int r;

	if (!text)
		return error_errno(err, -ENOMEM, "publish %s", id);
	r = write_new_file(staging->fd, MANIFEST, text, strlen(text));
	if (r == 0)
		r = sync_folder(staging->fd, 2);
	if (r < 0)
		return error_errno(err, r, "write %s", id);
	if (renameat2(staging->parent_fd, staging->name, staging->parent_fd, id,
		      RENAME_NOREPLACE) == 0) {
		staging->name[0] = '\0';
		return fsync(staging->parent_fd) < 0 ? error_errno(err, -errno, "publish %s", id)
						     : 0;
	}
	if (errno != EEXIST)
		return error_errno(err, -errno, "publish %s", id);
	if (same_manifest(staging->parent_fd, id, text, strlen(text)) && same_entry(staging, id))
		return entry_touch(staging->parent_fd, id, err);
	/* What was there now has the temporary name, which staging_done() removes. */
	if (renameat2(staging->parent_fd, staging->name, staging->parent_fd, id, RENAME_EXCHANGE) <
	    0)
		return error_errno(err, -errno, "replace %s", id);
	return 0;
}

int entries_sweep(const char *parent, struct error *err)
{
	autoclose int fd = open_dir_create(parent, DIR_MODE);
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return error_errno(err, fd, "open %s", parent);
	dir = dir_entries(fd);
	if (!dir)
		return error_errno(err, -errno, "read %s", parent);
	/* One DIR belongs to one caller, which is all that readdir(3) asks.
	 * NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (r == 0 && (e = readdir(dir)) != NULL) {
		if (str_has_prefix(e->d_name, TEMPORARY) && !streq(e->d_name, ".") &&
		    !streq(e->d_name, ".."))
			r = remove_tree_at(fd, e->d_name);
	}
	(void)closedir(dir);
	return r < 0 ? error_errno(err, r, "clean %s", parent) : 0;
}

void entry_id_format(const struct digest *digest, char ret_id[STORE_ID_SIZE])
{
	(void)snprintf(ret_id, STORE_ID_SIZE, ID_PREFIX "%s", digest->hex);
}

bool entry_id_valid(const char *id)
{
	return str_has_prefix(id, ID_PREFIX) && digest_hex_valid(id + strlen(ID_PREFIX));
}

bool entry_hold(const char *parent, const char *id)
{
	autofree char *path = entry_id_valid(id) ? path_join(parent, id) : NULL;

	return path && utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

int entry_open(const char *parent, const char *id, int *ret_fd, struct error *err)
{
	autoclose int dir = -1;
	int fd;

	if (!entry_id_valid(id))
		return error_set(err, ERR_INVALID, "'%.80s' is not an id of the store", id);
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -errno : open_beneath(dir, id, O_RDONLY | O_DIRECTORY, 0);
	if (fd == -ENOENT)
		return error_set(err, ERR_NOT_FOUND, "%s is not in %s", id, parent);
	if (fd < 0)
		return error_errno(err, fd, "open %s in %s", id, parent);
	*ret_fd = fd;
	return 0;
}

int entry_manifest(const char *parent, const char *id, json_t **ret_manifest, struct error *err)
{
	autofree char *text = NULL;
	autoclose int fd = -1;
	size_t len = 0;
	int r = entry_open(parent, id, &fd, err);

	if (r < 0)
		return r;
	r = read_file_at(fd, MANIFEST, STORE_MANIFEST_MAX, &text, &len);
	if (r < 0)
		return error_errno(err, r, "read " MANIFEST " of %s", id);
	*ret_manifest = json_parse(text, len, err);
	return *ret_manifest ? 0 : error_wrap(err, MANIFEST " of %s", id);
}

int entry_remove(const char *parent, const char *id, struct error *err)
{
	autoclose int dir = -1;
	char hidden[48];
	int r;

	if (!entry_id_valid(id))
		return error_set(err, ERR_INVALID, "'%.80s' is not an id of the store", id);
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0)
		return error_errno(err, -errno, "open %s", parent);
	(void)snprintf(hidden, sizeof(hidden), TEMPORARY "old-%s", id_new().s);
	if (renameat(dir, id, dir, hidden) < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "remove %s", id);
	r = remove_tree_at(dir, hidden);
	return r < 0 ? error_errno(err, r, "remove %s", id) : 0;
}

int write_new_file(int dir_fd, const char *name, const void *data, size_t len)
{
	autoclose int fd = open_beneath(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE);

	return fd < 0 ? fd : write_all(fd, data, len);
}

char *entry_path(const char *parent, const char *id, const char *file)
{
	char *s = NULL;

	return asprintf(&s, "%s/%s/%s", parent, id, file) < 0 ? NULL : s;
}
