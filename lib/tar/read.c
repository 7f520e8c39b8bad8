/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/bytes.h"
#include "lib/tar/header.h"
#include "lib/tar/tar.h"

enum { ZERO_BLOCK = 4096 };

/* What the headers of one entry say. */
struct entry {
	char path[TAR_NAME_MAX];
	char link[TAR_NAME_MAX];
	char sparse_name[TAR_NAME_MAX];
	bool has_path; /* from an extended header: wins over the block's own */
	bool has_link;
	bool has_size;
	bool has_uid;
	bool has_gid;
	bool has_mtime;
	uint64_t size; /* bytes of data in the archive */
	uint64_t uid;
	uint64_t gid;
	struct timespec mtime;
	uint32_t mode;
	uint64_t major;
	uint64_t minor;
	char type;
	bool sparse_major; /* format 1.0 */
	uint64_t real_size;
};

struct reader {
	struct tar_in in;
	int dir_fd;
	struct error *err;
	enum tar_owner owner;
	uint64_t left; /* data bytes of the entry that have not been read */
	uint64_t padding;
	struct entry entry;
};

/* --- input --- */

static int ends_early(struct reader *r)
{
	return error_set(r->err, ERR_INVALID, "the archive ends in the middle");
}

/* Returns 1, 0 at a clean end before the first byte, or an error. */
static int read_block(struct reader *r, void *block)
{
	size_t at = 0;

	while (at < TAR_BLOCK) {
		const uint8_t *bytes;
		ssize_t n = tar_in_take(&r->in, TAR_BLOCK - at, &bytes);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return at == 0 ? 0 : ends_early(r);
		memcpy((uint8_t *)block + at, bytes, (size_t)n);
		at += (size_t)n;
	}
	return 1;
}

/* Some bytes of the entry's data, at most `max`, good until the next are; 0 when there are no more.
 */
static ssize_t take_data(struct reader *r, uint64_t max, const uint8_t **ret_bytes)
{
	uint64_t want = r->left < max ? r->left : max;
	ssize_t n;

	if (want == 0)
		return 0;
	n = tar_in_take(&r->in, want < SIZE_MAX ? (size_t)want : SIZE_MAX, ret_bytes);
	if (n == 0)
		return ends_early(r);
	r->left -= n > 0 ? (uint64_t)n : 0;
	return n;
}

static int skip_data(struct reader *r)
{
	const uint8_t *bytes;
	ssize_t n;

	r->left += r->padding;
	r->padding = 0;
	while ((n = take_data(r, UINT64_MAX, &bytes)) > 0)
		;
	return n < 0 ? -EIO : 0;
}

static void begin_data(struct reader *r, uint64_t size)
{
	r->left = size;
	r->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* All data of an extended header, with a NUL behind it. */
static int read_text(struct reader *r, uint64_t size, char *to, size_t room)
{
	size_t at = 0;

	if (size >= room)
		return error_set(r->err, ERR_INVALID, "the archive has too long a header");
	begin_data(r, size);
	while (at < size) {
		const uint8_t *bytes;
		ssize_t n = take_data(r, size - at, &bytes);

		if (n < 0)
			return -EIO;
		memcpy(to + at, bytes, (size_t)n);
		at += (size_t)n;
	}
	to[at] = '\0';
	return skip_data(r);
}

/* --- extended headers --- */

static bool parse_u64(const char *s, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno == 0 && *end == '\0';
}

/* "1700000000.123456789"; times before 1970 become 0. */
static void parse_time(const char *s, struct timespec *ret)
{
	char *end;
	long long seconds = strtoll(s, &end, 10);
	long scale = 100000000;

	*ret = (struct timespec){ .tv_sec = seconds > 0 ? seconds : 0 };
	if (*end != '.')
		return;
	for (end++; *end >= '0' && *end <= '9' && scale > 0; end++, scale /= 10)
		ret->tv_nsec += (*end - '0') * scale;
}

static bool take_text(char *to, const char *value)
{
	size_t len = strlen(value);

	if (len >= TAR_NAME_MAX)
		return false;
	memcpy(to, value, len + 1);
	return true;
}

static bool take_record(struct entry *e, const char *key, const char *value)
{
	if (streq(key, "path"))
		return e->has_path = take_text(e->path, value);
	if (streq(key, "linkpath"))
		return e->has_link = take_text(e->link, value);
	if (streq(key, "size"))
		return e->has_size = parse_u64(value, &e->size);
	if (streq(key, "uid"))
		return e->has_uid = parse_u64(value, &e->uid);
	if (streq(key, "gid"))
		return e->has_gid = parse_u64(value, &e->gid);
	if (streq(key, "GNU.sparse.name"))
		return take_text(e->sparse_name, value);
	if (streq(key, "GNU.sparse.realsize"))
		return parse_u64(value, &e->real_size);
	if (streq(key, "GNU.sparse.major"))
		return e->sparse_major = streq(value, "1");
	if (streq(key, "mtime")) {
		e->has_mtime = true;
		parse_time(value, &e->mtime);
	}
	return true;
}

/* Records "<length> <key>=<value>\n". */
static bool parse_pax(struct entry *e, char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		char *end;
		unsigned long n = strtoul(text + at, &end, 10);
		char *key = end + 1;
		char *value;

		if (end == text + at || *end != ' ' || n > len - at || n < 5 ||
		    text[at + n - 1] != '\n' || key >= text + at + n)
			return false;
		text[at + n - 1] = '\0';
		value = strchr(key, '=');
		if (!value)
			return false;
		*value++ = '\0';
		if (!take_record(e, key, value))
			return false;
		at += n;
	}
	return true;
}

static int read_pax(struct reader *r, uint64_t size, bool global)
{
	autofree char *text = malloc(TAR_PAX_MAX);
	int x;

	if (!text)
		return error_errno(r->err, -ENOMEM, "read the archive");
	x = read_text(r, size, text, TAR_PAX_MAX);
	if (x < 0)
		return x;
	if (!global && !parse_pax(&r->entry, text, (size_t)size))
		return error_set(r->err, ERR_INVALID, "the archive has a malformed header");
	return 0;
}

/* --- the header --- */

static bool parse_block(struct entry *e, const struct tar_header *h)
{
	uint64_t mode = 0;
	uint64_t mtime = 0;

	if (!e->has_path && memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
		(void)snprintf(e->path, sizeof(e->path), "%.155s/%.100s", h->prefix, h->name);
	else if (!e->has_path)
		(void)snprintf(e->path, sizeof(e->path), "%.100s", h->name);
	if (!e->has_link)
		(void)snprintf(e->link, sizeof(e->link), "%.100s", h->link);
	if ((!e->has_size && !tar_get_number(h->size, sizeof(h->size), &e->size)) ||
	    (!e->has_uid && !tar_get_number(h->uid, sizeof(h->uid), &e->uid)) ||
	    (!e->has_gid && !tar_get_number(h->gid, sizeof(h->gid), &e->gid)) ||
	    !tar_get_number(h->mode, sizeof(h->mode), &mode))
		return false;
	if (!e->has_mtime && tar_get_number(h->mtime, sizeof(h->mtime), &mtime))
		e->mtime = (struct timespec){ .tv_sec = (time_t)(mtime & INT64_MAX) };
	e->mode = (uint32_t)(mode & 07777);
	e->type = h->type;
	if ((e->type == '3' || e->type == '4') &&
	    (!tar_get_number(h->major, sizeof(h->major), &e->major) ||
	     !tar_get_number(h->minor, sizeof(h->minor), &e->minor)))
		return false;
	if (e->sparse_name[0])
		memcpy(e->path, e->sparse_name, sizeof(e->path));
	return e->size <= INT64_MAX && e->uid < UINT32_MAX && e->gid < UINT32_MAX;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Reads headers until one is for an entry. Returns 1, 0 at the end of the archive, or an error. */
static int next_entry(struct reader *r)
{
	struct tar_header h;

	memset(&r->entry, 0, sizeof(r->entry));
	for (;;) {
		int x = read_block(r, &h);
		uint64_t size = 0;

		if (x <= 0)
			return x;
		if (all_zero((const uint8_t *)&h, sizeof(h)))
			return 0;
		if (!tar_checksum_fits(&h) || !tar_get_number(h.size, sizeof(h.size), &size))
			return error_set(r->err, ERR_INVALID, "this is not a tar archive");
		if (h.type == 'x' || h.type == 'g') {
			x = read_pax(r, size, h.type == 'g');
		} else if (h.type == 'L') {
			x = read_text(r, size, r->entry.path, sizeof(r->entry.path));
			r->entry.has_path = true;
		} else if (h.type == 'K') {
			x = read_text(r, size, r->entry.link, sizeof(r->entry.link));
			r->entry.has_link = true;
		} else {
			if (!parse_block(&r->entry, &h))
				return error_set(r->err, ERR_INVALID,
						 "the archive has a malformed header");
			begin_data(r, r->entry.size);
			return 1;
		}
		if (x < 0)
			return x;
	}
}

/* --- places --- */

/* Makes the name relative and refuses "..". False when nothing is left or it climbs. */
static bool clean_path(char *path)
{
	char *to = path;

	for (char *from = path; *from;) {
		size_t len = strcspn(from, "/");

		if (len == 2 && from[0] == '.' && from[1] == '.')
			return false;
		if (len > 0 && !(len == 1 && from[0] == '.')) {
			if (to > path)
				*to++ = '/';
			memmove(to, from, len);
			to += len;
			from += len;
		} else {
			from += len;
		}
		from += *from == '/';
	}
	*to = '\0';
	return true;
}

/* Symbolic links on the way are followed, but not out of the folder. */
static int open_inside(int dir_fd, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Opens the folder that `path` (which is cut for it) is in, made where it is missing. */
static int open_parent(struct reader *r, char *path, bool make, const char **ret_name)
{
	char *slash = strrchr(path, '/');
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(r->dir_fd, F_DUPFD_CLOEXEC, 3);
	*slash = '\0';
	fd = open_inside(r->dir_fd, path);
	for (char *p = path; make && fd == -ENOENT; p++) {
		char *next = strchr(p, '/');
		autoclose int at = -1;
		char *name;

		if (next)
			*next = '\0';
		name = strrchr(path, '/');
		if (name)
			*name = '\0';
		at = name ? open_inside(r->dir_fd, path) : fcntl(r->dir_fd, F_DUPFD_CLOEXEC, 3);
		if (at >= 0 && mkdirat(at, name ? name + 1 : path, 0755) < 0 && errno != EEXIST)
			fd = -errno;
		if (name)
			*name = '/';
		if (!next) {
			fd = fd == -ENOENT ? open_inside(r->dir_fd, path) : fd;
			break;
		}
		*next = '/';
		p = next;
	}
	*slash = '/';
	return fd;
}

/* --- making --- */

/* Writes data, leaving holes where it is zero. */
static int write_at(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		size_t n = len < ZERO_BLOCK ? len : ZERO_BLOCK;
		size_t end = 0;

		while (end < len && !all_zero(bytes + end, len - end < n ? len - end : n))
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
		ssize_t n = take_data(r, len, &bytes);
		int x;

		if (n < 0)
			return -EIO;
		if (n == 0)
			return error_set(r->err, ERR_INVALID, "the archive has a malformed map");
		x = write_at(fd, bytes, (size_t)n, offset);
		if (x < 0)
			return error_errno(r->err, x, "write %.300s", r->entry.path);
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

		if (take_data(r, 1, &byte) != 1)
			break;
		text[i] = (char)*byte;
		(*consumed)++;
		if (text[i] == '\n') {
			text[i] = '\0';
			if (parse_u64(text, ret) && *ret <= INT64_MAX)
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
		ssize_t took = take_data(r, consumed, &padding);

		if (took <= 0)
			return took < 0 ? -EIO
					: error_set(r->err, ERR_INVALID,
						    "the archive has a malformed map");
		consumed -= (uint64_t)took;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (map[2 * i] > r->entry.real_size ||
		    map[2 * i + 1] > r->entry.real_size - map[2 * i])
			return error_set(r->err, ERR_INVALID, "the archive has a malformed map");
		if (copy_data(r, fd, map[2 * i], map[2 * i + 1]) < 0)
			return -EIO;
	}
	return 0;
}

static bool keeps_owner(const struct reader *r)
{
	return r->owner == TAR_KEEP_OWNER && geteuid() == 0;
}

/* A folder of one's own can be filled. */
static mode_t mode_of(const struct reader *r)
{
	const struct entry *e = &r->entry;
	mode_t mode = (mode_t)e->mode;

	if (r->owner == TAR_KEEP_OWNER)
		return mode;
	return (mode & 0777) | (e->type == '5' ? 0700 : 0);
}

static int set_owner_mode_time(struct reader *r, int fd)
{
	const struct entry *e = &r->entry;
	const struct timespec times[2] = { e->mtime, e->mtime };

	if (keeps_owner(r) && fchown(fd, (uid_t)e->uid, (gid_t)e->gid) < 0)
		return -errno;
	if (fchmod(fd, mode_of(r)) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int make_file(struct reader *r, int parent, const char *name)
{
	const struct entry *e = &r->entry;
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
		return error_errno(r->err, -errno, "make %.300s", r->entry.path);
	fd = open_inside(parent, name);
	if (fd < 0)
		return error_errno(r->err, fd, "open %.300s", r->entry.path);
	x = set_owner_mode_time(r, fd);
	return x < 0 ? error_errno(r->err, x, "set up %.300s", r->entry.path) : 0;
}

static int make_hard_link(struct reader *r, int parent, const char *name)
{
	const char *target;
	autoclose int from = -1;

	if (!clean_path(r->entry.link) || !r->entry.link[0])
		return error_set(r->err, ERR_INVALID,
				 "the archive has a link that leaves its folder");
	from = open_parent(r, r->entry.link, false, &target);
	if (from < 0 || linkat(from, target, parent, name, 0) < 0)
		return error_errno(r->err, from < 0 ? from : -errno, "link %.300s", r->entry.path);
	return 0;
}

static int make_special(struct reader *r, int parent, const char *name)
{
	const struct entry *e = &r->entry;
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
	struct entry *e = &r->entry;
	autoclose int parent = -1;
	const char *name;

	if (!clean_path(e->path))
		return error_set(r->err, ERR_INVALID,
				 "the archive has a name that leaves its folder");
	if (e->path[0] == '\0')
		return 0;
	parent = open_parent(r, e->path, true, &name);
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

	while ((x = next_entry(r)) == 1) {
		if (unpack_entry(r) < 0 || skip_data(r) < 0)
			return error_to_errno(r->err);
	}
	if (x < 0)
		return error_to_errno(r->err);
	while (r->in.source->next(r->in.source->data, &bytes) > 0) /* what follows the end */
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
	r->owner = owner;
	x = tar_in_init(&r->in, source, in_fd, err);
	if (x == 0)
		x = read_archive(r);
	tar_in_done(&r->in);
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
