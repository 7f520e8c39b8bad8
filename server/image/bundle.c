/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/header.h"
#include "server/image/unpacker.h"

enum { COPY_PIECE = 1 << 20, LINKS_MAX = 4 };

bool bundle_is_tar(int fd)
{
	struct tar_header h;

	return pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && tar_checksum_fits(&h);
}

static int add_member(struct bundle *b, const struct unpacker_piece *piece, struct error *err)
{
	struct unpack_listed *m, member;
	struct stat st;

	if (fstat(b->fd, &st) < 0)
		return error_errno(err, -errno, "read the archive");
	if (piece->kind != UNPACK_MEMBER || piece->len != sizeof(member))
		return unpacker_confused(err);
	memcpy(&member, piece->bytes, sizeof(member));
	member.name[sizeof(member.name) - 1] = '\0';
	member.link[sizeof(member.link) - 1] = '\0';
	if (member.at > (uint64_t)st.st_size || member.size > (uint64_t)st.st_size - member.at)
		return unpacker_confused(err);
	if (b->n == BUNDLE_MEMBERS_MAX)
		return error_set(err, ERR_TOO_LARGE, "the archive has more than %d members",
				 BUNDLE_MEMBERS_MAX);
	m = reallocarray(b->members, b->n + 1, sizeof(*m));
	if (!m)
		return error_errno(err, -ENOMEM, "read the archive");
	b->members = m;
	b->members[b->n++] = member;
	return 0;
}

static int read_members(struct bundle *b, const struct unpacker *u, struct error *err)
{
	const struct unpack_job job = { .kind = UNPACK_LIST };
	int r = unpacker_send(u, &job, sizeof(job), b->fd, err);

	while (r == 0) {
		struct unpacker_piece piece;

		r = unpacker_piece(u, &piece, err);
		if (r < 0 || piece.kind == UNPACK_END)
			return r;
		r = add_member(b, &piece, err);
	}
	return r;
}

int bundle_open_tar(const struct image_paths *paths, int fd, struct op *op,
		    struct bundle *ret_bundle, struct error *err)
{
	struct bundle b CLEANUP(bundle_done) = { .fd = fd, .tmp = paths->cache };
	struct unpacker u CLEANUP(unpacker_done) = UNPACKER_INIT;
	int r;

	b.members = calloc(1, sizeof(*b.members));
	if (!b.members)
		return error_errno(err, -ENOMEM, "read the archive");
	r = unpacker_start(paths, UNPACK_FILES, -1, op, &u, err);
	if (r == 0)
		r = read_members(&b, &u, err);
	if (r < 0)
		return r;
	*ret_bundle = b;
	b = BUNDLE_INIT;
	return 0;
}

void bundle_open_folder(int fd, struct bundle *ret_bundle)
{
	*ret_bundle = (struct bundle){ .fd = fd };
}

void bundle_done(struct bundle *bundle)
{
	close_keep_errno(bundle->fd);
	free(bundle->members);
	*bundle = BUNDLE_INIT;
}

/* The last of a name counts, as for who unpacks it. */
static const struct unpack_listed *find(const struct bundle *b, const char *name)
{
	for (size_t i = b->n; i > 0; i--)
		if (streq(b->members[i - 1].name, name))
			return &b->members[i - 1];
	return NULL;
}

/* "../<folder>/layer.tar", as older docker versions point from one layer to another. */
static const struct unpack_listed *follow(const struct bundle *b, const char *name)
{
	const struct unpack_listed *m = find(b, name);

	for (int i = 0; m && m->link[0]; i++) {
		const char *to = m->link;

		if (i == LINKS_MAX)
			return NULL;
		while (str_has_prefix(to, "../"))
			to += 3;
		m = find(b, to);
	}
	return m;
}

bool bundle_has(const struct bundle *bundle, const char *name)
{
	return bundle->members ? find(bundle, name) != NULL
			       : faccessat(bundle->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int copy_out(const struct bundle *b, const struct unpack_listed *m, int to)
{
	autofree char *piece = malloc(COPY_PIECE);
	uint64_t done = 0;

	if (!piece)
		return -ENOMEM;
	while (done < m->size) {
		uint64_t left = m->size - done;
		ssize_t n = pread(b->fd, piece, left < COPY_PIECE ? (size_t)left : COPY_PIECE,
				  (off_t)(m->at + done));
		int r = n > 0 ? write_all(to, piece, (size_t)n) : n < 0 ? -errno : -EIO;

		if (r < 0)
			return r;
		done += (uint64_t)n;
	}
	return lseek(to, 0, SEEK_SET) < 0 ? -errno : 0;
}

int bundle_file(const struct bundle *bundle, const char *name, int *ret_fd, struct error *err)
{
	const struct unpack_listed *m = bundle->members ? follow(bundle, name) : NULL;
	autoclose int fd = -1;
	int r;

	if (!bundle->members) {
		fd = open_regular_beneath(bundle->fd, name, O_RDONLY, 0);
	} else if (m) {
		fd = open_unnamed(bundle->tmp);
		r = fd < 0 ? fd : copy_out(bundle, m, fd);
		if (r < 0)
			return error_errno(err, r, "take %.200s out of the archive", name);
	}
	if (fd == -ENOENT || (bundle->members && !m))
		return error_set(err, ERR_INVALID, "%.200s is not there", name);
	if (fd == -ELOOP || fd == -EINVAL || fd == -EISDIR || fd == -EXDEV || fd == -ENOTDIR)
		return error_set(err, ERR_INVALID,
				 "%.200s is not a regular file, and links are not followed", name);
	if (fd < 0)
		return error_errno(err, fd, "open %.200s", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

int bundle_text(const struct bundle *bundle, const char *name, size_t max, char **ret_text,
		size_t *ret_len, struct error *err)
{
	autoclose int fd = -1;
	autofree char *text = NULL;
	struct stat st;
	size_t done = 0;
	int r = bundle_file(bundle, name, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "read %.200s", name);
	if ((uint64_t)st.st_size > max)
		return error_set(err, ERR_TOO_LARGE, "%.200s has %lld bytes", name,
				 (long long)st.st_size);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return error_errno(err, -ENOMEM, "read %.200s", name);
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + done, (size_t)st.st_size - done, (off_t)done);

		if (n <= 0)
			return error_errno(err, n < 0 ? -errno : -EIO, "read %.200s", name);
		done += (size_t)n;
	}
	text[done] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = done;
	return 0;
}
