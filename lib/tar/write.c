/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/bytes.h"
#include "lib/tar/header.h"
#include "lib/tar/tar.h"

enum { HASH_SIZE = 4096, PAX_RECORD_EXTRA = 32 };

struct hard_link {
	struct hard_link *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct piece {
	uint64_t offset;
	uint64_t len;
};

struct writer {
	struct tar_out out;
	struct error *err;
	char path[TAR_NAME_MAX]; /* of the entry at hand */
	size_t path_len;
	struct hard_link *links[HASH_SIZE];
	size_t n_links;
	enum tar_owner owner;
	mode_t mode;      /* of the files; 0: each its own */
	size_t *left_out; /* as of struct tar_part */
	bool root;        /* as of tar_write_root() */
	dev_t device;     /* with `root`: of the folder */
	struct buf pax;   /* extended header of the entry at hand */
};

/* --- bytes --- */

static int put(struct writer *w, const void *bytes, size_t len)
{
	return tar_out_put(&w->out, bytes, len) < 0 ? -EIO : 0;
}

/* Zeros up to the next block, for data of this length. */
static int put_padding(struct writer *w, uint64_t len)
{
	static const uint8_t zeros[TAR_BLOCK];

	return put(w, zeros, (size_t)((TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK));
}

/* --- headers --- */

/* "<length of the whole record> key=value\n" */
static int add_pax_bytes(struct writer *w, const char *key, const void *value, size_t len)
{
	size_t body = strlen(key) + len + 3;
	size_t digits = 1;
	int r;

	while (snprintf(NULL, 0, "%zu", body + digits) > (int)digits)
		digits++;
	r = buf_printf(&w->pax, "%zu %s=", body + digits, key);
	if (r == 0)
		r = buf_append(&w->pax, value, len);
	return r < 0 ? r : buf_append(&w->pax, "\n", 1);
}

static int add_pax(struct writer *w, const char *key, const char *value)
{
	return add_pax_bytes(w, key, value, strlen(value));
}

static int add_pax_number(struct writer *w, const char *key, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return add_pax(w, key, text);
}

static int put_header(struct writer *w, struct tar_header *header)
{
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	tar_set_checksum(header);
	return put(w, header, sizeof(*header));
}

/* A text that fits its field goes there, else into the extended header. */
static int set_text(struct writer *w, char *field, size_t size, const char *key, const char *text)
{
	size_t len = strlen(text);

	memcpy(field, text, len < size ? len : size);
	return len <= size ? 0 : add_pax(w, key, text);
}

static int set_number(struct writer *w, char *field, size_t size, const char *key, uint64_t value)
{
	if (tar_put_number(field, size, value))
		return 0;
	(void)tar_put_number(field, size, 0);
	return add_pax_number(w, key, value);
}

/* Fraction of a second: the header has none. */
static int add_mtime(struct writer *w, const struct stat *st)
{
	char text[48];

	if (st->st_mtim.tv_nsec == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%lld.%09ld", (long long)st->st_mtim.tv_sec,
		       st->st_mtim.tv_nsec);
	return add_pax(w, "mtime", text);
}

static int add_xattr(struct writer *w, int fd, const char *name)
{
	char key[256 + 32];
	char value[TAR_XATTR_MAX];
	ssize_t n = fgetxattr(fd, name, value, sizeof(value));

	if (n < 0)
		return 0; /* too long, or gone meanwhile */
	(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", name);
	return add_pax_bytes(w, key, value, (size_t)n);
}

/* Of a file or folder that is open. */
static int add_xattrs(struct writer *w, int fd)
{
	char names[TAR_XATTRS_MAX];
	ssize_t n = w->root ? flistxattr(fd, names, sizeof(names)) : 0;
	int r = 0;

	for (ssize_t at = 0; r == 0 && at < n; at += (ssize_t)strlen(names + at) + 1)
		if (str_has_prefix(names + at, "user.") || streq(names + at, "security.capability"))
			r = add_xattr(w, fd, names + at);
	return r < 0 ? error_errno(w->err, r, "describe %.300s", w->path) : 0;
}

static int put_pax(struct writer *w)
{
	struct tar_header header = { .type = 'x' };

	if (buf_len(&w->pax) == 0)
		return 0;
	memcpy(header.name, "PaxHeaders/entry", 17);
	(void)tar_put_number(header.mode, sizeof(header.mode), 0644);
	(void)tar_put_number(header.uid, sizeof(header.uid), 0);
	(void)tar_put_number(header.gid, sizeof(header.gid), 0);
	(void)tar_put_number(header.size, sizeof(header.size), buf_len(&w->pax));
	(void)tar_put_number(header.mtime, sizeof(header.mtime), 0);
	if (put_header(w, &header) < 0 || put(w, buf_bytes(&w->pax), buf_len(&w->pax)) < 0 ||
	    put_padding(w, buf_len(&w->pax)) < 0)
		return -EIO;
	buf_consume(&w->pax, buf_len(&w->pax));
	return 0;
}

/* Extended header, where one is needed, and header; `size` are the bytes that follow. */
static int put_entry(struct writer *w, const struct stat *st, char type, uint64_t size,
		     const char *link)
{
	struct tar_header header = { .type = type };
	time_t seconds = st->st_mtim.tv_sec > 0 ? st->st_mtim.tv_sec : 0;
	bool device = type == '3' || type == '4';

	(void)tar_put_number(header.mode, sizeof(header.mode),
			     w->mode ? w->mode : st->st_mode & 07777);
	(void)tar_put_number(header.major, sizeof(header.major), device ? major(st->st_rdev) : 0);
	(void)tar_put_number(header.minor, sizeof(header.minor), device ? minor(st->st_rdev) : 0);
	if (set_text(w, header.name, sizeof(header.name), "path", w->path) < 0 ||
	    set_text(w, header.link, sizeof(header.link), "linkpath", link) < 0 ||
	    set_number(w, header.uid, sizeof(header.uid), "uid",
		       w->owner == TAR_DROP_OWNER ? 0 : st->st_uid) < 0 ||
	    set_number(w, header.gid, sizeof(header.gid), "gid",
		       w->owner == TAR_DROP_OWNER ? 0 : st->st_gid) < 0 ||
	    set_number(w, header.size, sizeof(header.size), "size", size) < 0 ||
	    set_number(w, header.mtime, sizeof(header.mtime), "mtime", (uint64_t)seconds) < 0 ||
	    add_mtime(w, st) < 0)
		return error_errno(w->err, -ENOMEM, "describe %.300s", w->path);
	if (put_pax(w) < 0 || put_header(w, &header) < 0)
		return -EIO;
	return 0;
}

/* --- data --- */

/* Exactly `len` bytes from `offset`; a file that has become shorter is filled with zeros. */
static int put_data(struct writer *w, int fd, uint64_t offset, uint64_t len)
{
	while (len > 0) {
		uint8_t *room;
		ssize_t n = tar_out_room(&w->out, &room);
		size_t want = n > 0 && (uint64_t)n < len ? (size_t)n : (size_t)len;

		if (n < 0)
			return -EIO;
		n = pread(fd, room, want, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(w->err, -errno, "read %.300s", w->path);
		if (n == 0) {
			memset(room, 0, want);
			n = (ssize_t)want;
		}
		tar_out_filled(&w->out, (size_t)n);
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* The pieces that hold data. Returns their number, 0 when the file had better be sent in full. */
static size_t find_pieces(int fd, uint64_t size, struct piece *pieces, size_t max)
{
	uint64_t at = 0;
	size_t n = 0;

	while (at < size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0 || hole <= data || n + 1 == max)
			return 0;
		pieces[n].offset = (uint64_t)data;
		pieces[n++].len =
			(uint64_t)(hole < (off_t)size ? hole : (off_t)size) - (uint64_t)data;
		at = (uint64_t)hole;
	}
	/* The list ends with the file's size, as a piece without bytes. */
	pieces[n++] = (struct piece){ size, 0 };
	return n;
}

static int put_sparse(struct writer *w, int fd, const struct stat *st, const struct piece *pieces,
		      size_t n)
{
	CLEANUP(buf_done)
	struct buf map;
	uint64_t data = 0;
	uint64_t map_size;
	int r;

	buf_init(&map, TAR_HOLES_MAX * 48);
	r = buf_printf(&map, "%zu\n", n);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = buf_printf(&map, "%llu\n%llu\n", (unsigned long long)pieces[i].offset,
			       (unsigned long long)pieces[i].len);
		data += pieces[i].len;
	}
	map_size = (buf_len(&map) + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	if (r < 0 || add_pax(w, "GNU.sparse.major", "1") < 0 ||
	    add_pax(w, "GNU.sparse.minor", "0") < 0 || add_pax(w, "GNU.sparse.name", w->path) < 0 ||
	    add_pax_number(w, "GNU.sparse.realsize", (uint64_t)st->st_size) < 0)
		return error_errno(w->err, -ENOMEM, "describe %.300s", w->path);
	if (put_entry(w, st, '0', map_size + data, "") < 0 ||
	    put(w, buf_bytes(&map), buf_len(&map)) < 0 || put_padding(w, buf_len(&map)) < 0)
		return -EIO;
	for (size_t i = 0; i < n; i++)
		if (put_data(w, fd, pieces[i].offset, pieces[i].len) < 0)
			return -EIO;
	return put_padding(w, data);
}

static int put_regular(struct writer *w, int dir_fd, const char *name)
{
	autoclose int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	autofree struct piece *pieces = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(w->err, -errno, "open %.300s", w->path);
	if (!S_ISREG(st.st_mode))
		return 0; /* replaced meanwhile */
	if (add_xattrs(w, fd) < 0)
		return -EIO;
	if (st.st_size > 0 && (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size)
		pieces = calloc(TAR_HOLES_MAX, sizeof(*pieces));
	if (pieces)
		n = find_pieces(fd, (uint64_t)st.st_size, pieces, TAR_HOLES_MAX);
	if (n > 0)
		return put_sparse(w, fd, &st, pieces, n);
	if (put_entry(w, &st, '0', (uint64_t)st.st_size, "") < 0 ||
	    put_data(w, fd, 0, (uint64_t)st.st_size) < 0)
		return -EIO;
	return put_padding(w, (uint64_t)st.st_size);
}

/* --- entries --- */

/* The path under which this file has been sent, or NULL; then it is noted. */
static const char *known_link(struct writer *w, const struct stat *st)
{
	struct hard_link **slot = &w->links[(st->st_ino ^ st->st_dev) % HASH_SIZE];
	struct hard_link *link;

	for (link = *slot; link; link = link->next)
		if (link->ino == st->st_ino && link->dev == st->st_dev)
			return link->path;
	if (w->n_links == TAR_HARD_LINKS_MAX)
		return NULL;
	link = calloc(1, sizeof(*link) + w->path_len + 1);
	if (!link)
		return NULL;
	link->dev = st->st_dev;
	link->ino = st->st_ino;
	memcpy(link->path, w->path, w->path_len + 1);
	link->next = *slot;
	*slot = link;
	w->n_links++;
	return NULL;
}

static int put_symlink(struct writer *w, int dir_fd, const char *name, const struct stat *st)
{
	char target[TAR_NAME_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return errno == ENOENT ? 0 : error_errno(w->err, -errno, "read %.300s", w->path);
	target[n] = '\0';
	return put_entry(w, st, '2', 0, target);
}

/* All kinds but folders. Sockets are left out: nobody listens in an archive. */
static int put_file(struct writer *w, int dir_fd, const char *name, const struct stat *st)
{
	const char *first;

	if (w->left_out && !S_ISREG(st->st_mode)) {
		++*w->left_out;
		return 0;
	}
	first = st->st_nlink > 1 ? known_link(w, st) : NULL;
	if (first)
		return put_entry(w, st, '1', 0, first);
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return put_regular(w, dir_fd, name);
	case S_IFLNK:
		return put_symlink(w, dir_fd, name, st);
	case S_IFCHR:
		return put_entry(w, st, '3', 0, "");
	case S_IFBLK:
		return put_entry(w, st, '4', 0, "");
	case S_IFIFO:
		return put_entry(w, st, '6', 0, "");
	default:
		return 0;
	}
}

static int set_name(struct writer *w, size_t parent_len, const char *name, bool folder)
{
	int n = snprintf(w->path + parent_len, sizeof(w->path) - parent_len, "%s%s", name,
			 folder ? "/" : "");

	if (n < 0 || (size_t)n >= sizeof(w->path) - parent_len)
		return error_errno(w->err, -ENAMETOOLONG, "pack %.300s", name);
	w->path_len = parent_len + (size_t)n;
	return 0;
}

struct level {
	DIR *dir;
	size_t path_len;
};

/* Opens the folder `name`; 1 when there is a new level, 0 when it has gone meanwhile. */
static int descend(struct writer *w, struct level *levels, size_t depth, int dir_fd,
		   const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (depth == TAR_DEPTH_MAX)
		errno = ELOOP;
	levels[depth % TAR_DEPTH_MAX].dir = fd < 0 || depth == TAR_DEPTH_MAX ? NULL : fdopendir(fd);
	if (depth == TAR_DEPTH_MAX || !levels[depth].dir) {
		int r = -errno;

		close_keep_errno(fd);
		return error_errno(w->err, r, "open %.300s", w->path);
	}
	levels[depth].path_len = w->path_len;
	return 1;
}

static int folder_xattrs(struct writer *w, int dir_fd, const char *name)
{
	autoclose int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? 0 : add_xattrs(w, fd);
}

/* One entry of the deepest open folder; returns the change of depth, or an error. */
static int walk_one(struct writer *w, struct level *levels, size_t depth)
{
	struct level *level = &levels[depth - 1];
	const struct dirent *e =
		readdir(level->dir); /* NOLINT(concurrency-mt-unsafe): one thread */
	int dir_fd = dirfd(level->dir);
	struct stat st;
	int r;

	if (!e) {
		(void)closedir(level->dir);
		return -1;
	}
	if (streq(e->d_name, ".") || streq(e->d_name, ".."))
		return 0;
	if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_errno(w->err, -errno, "look at %s", e->d_name);
	r = set_name(w, level->path_len, e->d_name, S_ISDIR(st.st_mode));
	if (r < 0)
		return -EIO;
	if (!S_ISDIR(st.st_mode))
		return put_file(w, dir_fd, e->d_name, &st) < 0 ? -EIO : 0;
	if (w->root && folder_xattrs(w, dir_fd, e->d_name) < 0)
		return -EIO;
	if (put_entry(w, &st, '5', 0, "") < 0)
		return -EIO;
	/* Of a folder that something is mounted on, the folder alone. */
	if (w->root && st.st_dev != w->device)
		return 0;
	r = descend(w, levels, depth, dir_fd, e->d_name);
	return r < 0 ? -EIO : r;
}

static int walk(struct writer *w, int dir_fd)
{
	autofree struct level *levels = calloc(TAR_DEPTH_MAX, sizeof(*levels));
	size_t depth = 0;
	int r = levels ? descend(w, levels, 0, dir_fd, ".")
		       : error_errno(w->err, -ENOMEM, "pack a folder");

	if (r == 1)
		depth = 1;
	while (depth > 0 && r >= -1) {
		r = walk_one(w, levels, depth);
		if (r >= -1)
			depth = r < 0 ? depth - 1 : depth + (size_t)r;
	}
	while (depth > 0)
		(void)closedir(levels[--depth].dir);
	return r < -1 ? -EIO : 0;
}

static int finish(struct writer *w, int r)
{
	static const uint8_t zeros[2 * TAR_BLOCK];

	if (r == 0)
		r = put(w, zeros, sizeof(zeros));
	return r == 0 ? tar_out_flush(&w->out) : r;
}

/* To a sink, or (NULL) to the descriptor. */
static struct writer *writer_new(const struct tar_sink *sink, int out_fd, struct error *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w) {
		(void)error_errno(err, -ENOMEM, "pack files");
		return NULL;
	}
	if (tar_out_init(&w->out, sink, out_fd, err) < 0) {
		free(w);
		return NULL;
	}
	w->err = err;
	buf_init(&w->pax, 4 * TAR_NAME_MAX);
	return w;
}

static void writer_free(struct writer *w)
{
	for (size_t i = 0; i < HASH_SIZE; i++) {
		while (w->links[i]) {
			struct hard_link *link = w->links[i];

			w->links[i] = link->next;
			free(link);
		}
	}
	tar_out_done(&w->out);
	buf_done(&w->pax);
	free(w);
}

static int write_root(struct writer *w, int dir_fd)
{
	struct stat st;

	if (fstat(dir_fd, &st) < 0)
		return error_errno(w->err, -errno, "look at the root");
	w->root = true;
	w->device = st.st_dev;
	return finish(w, walk(w, dir_fd));
}

int tar_write_root(int out_fd, int dir_fd, struct error *err)
{
	struct writer *w = writer_new(NULL, out_fd, err);
	int r = w ? write_root(w, dir_fd) : -ENOMEM;

	if (w)
		writer_free(w);
	return r;
}

static int put_name(struct writer *w, int dir_fd, const char *name)
{
	const char *slash = strrchr(name, '/');
	autofree char *folder = slash ? strndup(name, (size_t)(slash - name)) : strdup(".");
	autoclose int parent =
		folder ? open_beneath(dir_fd, folder, O_RDONLY | O_DIRECTORY, 0) : -ENOMEM;
	const char *last = slash ? slash + 1 : name;
	struct stat st;

	if (parent == -ENOENT || parent == -ENOTDIR || parent == -ELOOP)
		return 0;
	if (parent < 0)
		return error_errno(w->err, parent, "open the folder of %.300s", name);
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_errno(w->err, -errno, "look at %.300s", name);
	if (S_ISDIR(st.st_mode))
		return 0;
	if (set_name(w, 0, name, false) < 0)
		return -EIO;
	return put_file(w, parent, last, &st) < 0 ? -EIO : 0;
}

static int put_names(struct writer *w, const struct tar_part *part)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < part->len; at += strlen(part->names + at) + 1)
		r = put_name(w, part->dir_fd, part->names + at);
	return r;
}

static int put_part(struct writer *w, const struct tar_part *part)
{
	struct stat st;
	int r = set_name(w, 0, part->as ? part->as : (part->name ? part->name : ""),
			 part->as && !part->name);

	w->mode = part->name ? part->mode : 0;
	w->left_out = part->ret_left_out;
	if (r < 0 || part->names)
		return r < 0 ? r : put_names(w, part);
	if (!part->name && part->as)
		r = fstat(part->dir_fd, &st) < 0 ? error_errno(w->err, -errno, "look at a folder")
						 : put_entry(w, &st, '5', 0, "");
	if (!part->name)
		return r == 0 ? walk(w, part->dir_fd) : r;
	if (fstatat(part->dir_fd, part->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(w->err, -errno, "look at %.300s", part->name);
	return put_file(w, part->dir_fd, part->name, &st);
}

int tar_write_parts(int out_fd, const struct tar_part *parts, size_t n, enum tar_owner owner,
		    struct error *err)
{
	struct writer *w = writer_new(NULL, out_fd, err);
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->owner = owner;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_part(w, &parts[i]);
	r = finish(w, r);
	writer_free(w);
	return r;
}

int tar_write_names(int out_fd, int dir_fd, const char *names, size_t len, enum tar_owner owner,
		    struct error *err)
{
	const struct tar_part some = { .dir_fd = dir_fd, .names = names, .len = len };

	return tar_write_parts(out_fd, &some, 1, owner, err);
}

int tar_write_into(const struct tar_sink *sink, int dir_fd, const char *name, bool root,
		   struct error *err)
{
	const struct tar_part all = { .dir_fd = dir_fd, .name = name };
	struct writer *w = writer_new(sink, -1, err);
	int r;

	if (!w)
		return -ENOMEM;
	r = root ? write_root(w, dir_fd) : finish(w, put_part(w, &all));
	writer_free(w);
	return r;
}
