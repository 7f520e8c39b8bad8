/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/path.h"
#include "lib/tar/read_header.h"
#include "lib/tar/tar.h"

enum { ZERO_BLOCK = 4096 };

struct reader {
	struct tar_entries t;
	int dir_fd;
	struct error *err;
	enum tar_owner owner;
};

/* --- data --- */

/* Writes data, leaving holes where it is zero. */
static int write_at(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		size_t n = len < ZERO_BLOCK ? len : ZERO_BLOCK;
		size_t end = 0;

		while (end < len && !tar_all_zero(bytes + end, len - end < n ? len - end : n))
			end += len - end < n ? len - end : n;
		for (size_t at = 0; at < end;) {
			ssize_t w = pwrite(fd, bytes + at, end - at, (off_t)(offset + at));

			if (w < 0 && errno != EINTR)
				return -errno;
			at += w > 0 ? (size_t)w : 0;
		}
		if (end < len) /* a zero block */
			end += len - end < n ? len - end : n;
		bytes += end;
		offset += end;
		len -= end;
	}
	return 0;
}

/* `len` bytes of data to `offset` of the file. */
static int copy_data(struct reader *r, int fd, uint64_t offset, uint64_t len)
{
	while (len > 0) {
		const uint8_t *bytes;
		ssize_t n = tar_entries_data(&r->t, len, &bytes);
		int x;

		if (n < 0)
			return -EIO;
		if (n == 0)
			return error_set(r->err, ERR_INVALID, "the archive has a malformed map");
		x = write_at(fd, bytes, (size_t)n, offset);
		if (x < 0)
			return error_errno(r->err, x, "write %.300s", r->t.entry.path);
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* A decimal number and its newline, from the map in front of a sparse file's data. */
static int read_map_number(struct reader *r, uint64_t *consumed, uint64_t *ret)
{
	char text[24];

	for (size_t i = 0; i < sizeof(text); i++) {
		const uint8_t *byte;

		if (tar_entries_data(&r->t, 1, &byte) != 1)
			break;
		text[i] = (char)*byte;
		(*consumed)++;
		if (text[i] == '\n') {
			text[i] = '\0';
			if (tar_parse_u64(text, ret) && *ret <= INT64_MAX)
				return 0;
			break;
		}
	}
	return error_set(r->err, ERR_INVALID, "the archive has a malformed map");
}

/* Format 1.0: number of pieces, then offset and length of each, padded to a block; then the data.
 */
static int copy_sparse_data(struct reader *r, int fd)
{
	autofree uint64_t *map = NULL;
	const uint8_t *padding;
	uint64_t consumed = 0;
	uint64_t n;
	int x = read_map_number(r, &consumed, &n);

	if (x < 0)
		return -EIO;
	if (n > TAR_HOLES_MAX)
		return error_set(r->err, ERR_INVALID,
				 "the archive has a sparse file of too many pieces");
	map = calloc((size_t)n * 2 + 1, sizeof(*map));
	if (!map)
		return error_errno(r->err, -ENOMEM, "read the archive");
	for (uint64_t i = 0; i < 2 * n; i++)
		if (read_map_number(r, &consumed, &map[i]) < 0)
			return -EIO;
	consumed = (TAR_BLOCK - consumed % TAR_BLOCK) % TAR_BLOCK;
	while (consumed > 0) {
		ssize_t took = tar_entries_data(&r->t, consumed, &padding);

		if (took <= 0)
			return took < 0 ? -EIO
					: error_set(r->err, ERR_INVALID,
						    "the archive has a malformed map");
		consumed -= (uint64_t)took;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (map[2 * i] > r->t.entry.real_size ||
		    map[2 * i + 1] > r->t.entry.real_size - map[2 * i])
			return error_set(r->err, ERR_INVALID, "the archive has a malformed map");
		if (copy_data(r, fd, map[2 * i], map[2 * i + 1]) < 0)
			return -EIO;
	}
	return 0;
}

/* --- entries --- */

static bool keeps_owner(const struct reader *r)
{
	return r->owner == TAR_KEEP_OWNER && geteuid() == 0;
}

/* A folder of one's own can be filled. */
static mode_t mode_of(const struct reader *r)
{
	const struct tar_entry *e = &r->t.entry;
	mode_t mode = (mode_t)e->mode;

	if (r->owner == TAR_KEEP_OWNER)
		return mode;
	return (mode & 0777) | (e->type == '5' ? 0700 : 0);
}

static int set_owner_mode_time(struct reader *r, int fd)
{
	const struct tar_entry *e = &r->t.entry;
	const struct timespec times[2] = { e->mtime, e->mtime };

	if (keeps_owner(r) && fchown(fd, (uid_t)e->uid, (gid_t)e->gid) < 0)
		return -errno;
	if (fchmod(fd, mode_of(r)) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int make_file(struct reader *r, int parent, const char *name)
{
	const struct tar_entry *e = &r->t.entry;
	uint64_t size = e->sparse_major ? e->real_size : e->size;
	autoclose int fd =
		openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int x;

	if (fd < 0)
		return error_errno(r->err, -errno, "make %.300s", e->path);
	x = e->sparse_major ? copy_sparse_data(r, fd) : copy_data(r, fd, 0, e->size);
	if (x < 0)
		return -EIO;
	if (size > INT64_MAX || ftruncate(fd, (off_t)size) < 0)
		return error_errno(r->err, size > INT64_MAX ? -EFBIG : -errno, "size %.300s",
				   e->path);
	x = set_owner_mode_time(r, fd);
	return x < 0 ? error_errno(r->err, x, "set up %.300s", e->path) : 0;
}

static int make_folder(struct reader *r, int parent, const char *name)
{
	autoclose int fd = -1;
	int x;

	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return error_errno(r->err, -errno, "make %.300s", r->t.entry.path);
	fd = tar_path_open(parent, name);
	if (fd < 0)
		return error_errno(r->err, fd, "open %.300s", r->t.entry.path);
	x = set_owner_mode_time(r, fd);
	return x < 0 ? error_errno(r->err, x, "set up %.300s", r->t.entry.path) : 0;
}

static int make_hard_link(struct reader *r, int parent, const char *name)
{
	const char *target;
	autoclose int from = -1;

	if (!tar_path_clean(r->t.entry.link) || !r->t.entry.link[0])
		return error_set(r->err, ERR_INVALID,
				 "the archive has a link that leaves its folder");
	from = tar_path_parent(r->dir_fd, r->t.entry.link, false, &target);
	if (from < 0 || linkat(from, target, parent, name, 0) < 0)
		return error_errno(r->err, from < 0 ? from : -errno, "link %.300s",
				   r->t.entry.path);
	return 0;
}

static int make_special(struct reader *r, int parent, const char *name)
{
	const struct tar_entry *e = &r->t.entry;
	const struct timespec times[2] = { e->mtime, e->mtime };
	dev_t device = makedev((unsigned int)e->major, (unsigned int)e->minor);
	mode_t kind = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
	int x;

	if (r->owner == TAR_DROP_OWNER && e->type != '2')
		return 0;
	if (e->type == '2')
		x = symlinkat(e->link, parent, name);
	else
		x = mknodat(parent, name, kind | (e->mode & 07777U), e->type == '6' ? 0 : device);
	if (x < 0 || (keeps_owner(r) && fchownat(parent, name, (uid_t)e->uid, (gid_t)e->gid,
						 AT_SYMLINK_NOFOLLOW) < 0))
		return error_errno(r->err, -errno, "make %.300s", e->path);
	(void)utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int unpack_entry(struct reader *r)
{
	struct tar_entry *e = &r->t.entry;
	autoclose int parent = -1;
	const char *name;

	if (!tar_path_clean(e->path))
		return error_set(r->err, ERR_INVALID,
				 "the archive has a name that leaves its folder");
	if (e->path[0] == '\0')
		return 0;
	parent = tar_path_parent(r->dir_fd, e->path, true, &name);
	if (parent < 0)
		return error_errno(r->err, parent, "open the folder of %.300s", e->path);
	if (e->type == '5')
		return make_folder(r, parent, name);
	/* A new file each time: never through an old link, never into another's hard link. */
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		return error_errno(r->err, -errno, "replace %.300s", e->path);
	switch (e->type) {
	case '0':
	case '7':
	case '\0':
		return make_file(r, parent, name);
	case '1':
		return make_hard_link(r, parent, name);
	case '2':
	case '3':
	case '4':
	case '6':
		return make_special(r, parent, name);
	default:
		return error_set(r->err, ERR_INVALID, "the archive has an entry of unknown kind");
	}
}

static int read_archive(struct reader *r)
{
	const uint8_t *bytes;
	int x;

	while ((x = tar_entries_next(&r->t)) == 1) {
		if (unpack_entry(r) < 0 || tar_entries_skip(&r->t) < 0)
			return error_to_errno(r->err);
	}
	if (x < 0)
		return error_to_errno(r->err);
	while (r->t.in.source->next(r->t.in.source->data, &bytes) > 0) /* what follows the end */
		;
	return 0;
}

static int read_from(const struct tar_source *source, int in_fd, int dir_fd, enum tar_owner owner,
		     struct error *err)
{
	autofree struct reader *r = calloc(1, sizeof(*r));
	int x;

	if (!r)
		return error_errno(err, -ENOMEM, "unpack files");
	r->dir_fd = dir_fd;
	r->err = err;
	r->t.err = err;
	r->owner = owner;
	x = tar_in_init(&r->t.in, source, in_fd, err);
	if (x == 0)
		x = read_archive(r);
	tar_in_done(&r->t.in);
	return x;
}

int tar_read(int in_fd, int dir_fd, enum tar_owner owner, struct error *err)
{
	return read_from(NULL, in_fd, dir_fd, owner, err);
}

int tar_read_from(const struct tar_source *source, int dir_fd, enum tar_owner owner,
		  struct error *err)
{
	return read_from(source, -1, dir_fd, owner, err);
}
