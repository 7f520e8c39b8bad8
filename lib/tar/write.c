/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/tar.h"
#include "lib/tar/write_data.h"
#include "lib/tar/write_header.h"

enum { HASH_SIZE = 4096 };

struct hard_link {
	struct hard_link *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct writer {
	struct tar_entry_out e;
	struct hard_link *links[HASH_SIZE];
	size_t n_links;
	size_t *left_out; /* as of struct tar_part */
	bool root;        /* as of tar_write_root() */
	dev_t device;     /* with `root`: of the folder */
};

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
	link = calloc(1, sizeof(*link) + w->e.path_len + 1);
	if (!link)
		return NULL;
	link->dev = st->st_dev;
	link->ino = st->st_ino;
	memcpy(link->path, w->e.path, w->e.path_len + 1);
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
		return errno == ENOENT ? 0
				       : error_errno(w->e.err, -errno, "read %.300s", w->e.path);
	target[n] = '\0';
	return tar_put_entry(&w->e, st, '2', 0, target);
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
		return tar_put_entry(&w->e, st, '1', 0, first);
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return tar_put_regular(&w->e, dir_fd, name);
	case S_IFLNK:
		return put_symlink(w, dir_fd, name, st);
	case S_IFCHR:
		return tar_put_entry(&w->e, st, '3', 0, "");
	case S_IFBLK:
		return tar_put_entry(&w->e, st, '4', 0, "");
	case S_IFIFO:
		return tar_put_entry(&w->e, st, '6', 0, "");
	default:
		return 0;
	}
}

static int set_name(struct writer *w, size_t parent_len, const char *name, bool folder)
{
	int n = snprintf(w->e.path + parent_len, sizeof(w->e.path) - parent_len, "%s%s", name,
			 folder ? "/" : "");

	if (n < 0 || (size_t)n >= sizeof(w->e.path) - parent_len)
		return error_errno(w->e.err, -ENAMETOOLONG, "pack %.300s", name);
	w->e.path_len = parent_len + (size_t)n;
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
		return error_errno(w->e.err, r, "open %.300s", w->e.path);
	}
	levels[depth].path_len = w->e.path_len;
	return 1;
}

static int folder_xattrs(struct writer *w, int dir_fd, const char *name)
{
	autoclose int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? 0 : tar_add_xattrs(&w->e, fd);
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
		return errno == ENOENT ? 0 : error_errno(w->e.err, -errno, "look at %s", e->d_name);
	r = set_name(w, level->path_len, e->d_name, S_ISDIR(st.st_mode));
	if (r < 0)
		return -EIO;
	if (!S_ISDIR(st.st_mode))
		return put_file(w, dir_fd, e->d_name, &st) < 0 ? -EIO : 0;
	if (w->root && folder_xattrs(w, dir_fd, e->d_name) < 0)
		return -EIO;
	if (tar_put_entry(&w->e, &st, '5', 0, "") < 0)
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
		       : error_errno(w->e.err, -ENOMEM, "pack a folder");

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
		r = tar_put(&w->e, zeros, sizeof(zeros));
	return r == 0 ? tar_out_flush(&w->e.out) : r;
}

/* To a sink, or (NULL) to the descriptor. */
static struct writer *writer_new(const struct tar_sink *sink, int out_fd, struct error *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w) {
		(void)error_errno(err, -ENOMEM, "pack files");
		return NULL;
	}
	if (tar_out_init(&w->e.out, sink, out_fd, err) < 0) {
		free(w);
		return NULL;
	}
	w->e.err = err;
	buf_init(&w->e.pax, 4 * TAR_NAME_MAX);
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
	tar_out_done(&w->e.out);
	buf_done(&w->e.pax);
	free(w);
}

static int write_root(struct writer *w, int dir_fd)
{
	struct stat st;

	if (fstat(dir_fd, &st) < 0)
		return error_errno(w->e.err, -errno, "look at the root");
	w->root = true;
	w->e.xattrs = true;
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
		return error_errno(w->e.err, parent, "open the folder of %.300s", name);
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_errno(w->e.err, -errno, "look at %.300s", name);
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

	w->e.mode = part->name ? part->mode : 0;
	w->left_out = part->ret_left_out;
	if (r < 0 || part->names)
		return r < 0 ? r : put_names(w, part);
	if (!part->name && part->as)
		r = fstat(part->dir_fd, &st) < 0 ? error_errno(w->e.err, -errno, "look at a folder")
						 : tar_put_entry(&w->e, &st, '5', 0, "");
	if (!part->name)
		return r == 0 ? walk(w, part->dir_fd) : r;
	if (fstatat(part->dir_fd, part->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(w->e.err, -errno, "look at %.300s", part->name);
	return put_file(w, part->dir_fd, part->name, &st);
}

int tar_write_parts(int out_fd, const struct tar_part *parts, size_t n, enum tar_owner owner,
		    struct error *err)
{
	struct writer *w = writer_new(NULL, out_fd, err);
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->e.owner = owner;
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
