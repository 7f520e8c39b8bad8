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
#include "lib/tar/tar.h"

enum { COPY_PIECE = 1 << 20, LINKS_MAX = 4 };

bool bundle_is_tar(int fd)
{
	struct tar_header h;

	return pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && tar_checksum_fits(&h);
}

/* Without "./" in front and '/' behind. */
static void keep_name(const struct tar_header *h, char ret_name[BUNDLE_NAME_MAX])
{
	char whole[BUNDLE_NAME_MAX + 8];
	const char *name = whole;
	size_t len;

	if (memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
		(void)snprintf(whole, sizeof(whole), "%.155s/%.100s", h->prefix, h->name);
	else
		(void)snprintf(whole, sizeof(whole), "%.100s", h->name);
	while (str_has_prefix(name, "./"))
		name += 2;
	len = strnlen(name, BUNDLE_NAME_MAX - 1);
	while (len > 0 && name[len - 1] == '/')
		len--;
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
}

static int add_member(struct bundle *b, const struct tar_header *h, uint64_t at, uint64_t size,
		      struct error *err)
{
	struct bundle_member *m;

	if (h->type != '0' && h->type != '\0' && h->type != '2')
		return 0;
	if (b->n == BUNDLE_MEMBERS_MAX)
		return error_set(err, ERR_TOO_LARGE, "the archive has more than %d members",
				 BUNDLE_MEMBERS_MAX);
	m = reallocarray(b->members, b->n + 1, sizeof(*m));
	if (!m)
		return error_errno(err, -ENOMEM, "read the archive");
	b->members = m;
	m = &b->members[b->n++];
	*m = (struct bundle_member){ .at = at, .size = size };
	keep_name(h, m->name);
	if (h->type == '2')
		(void)snprintf(m->link, sizeof(m->link), "%.100s", h->link);
	return 0;
}

static int read_members(struct bundle *b, uint64_t end, struct error *err)
{
	for (uint64_t at = 0; at + TAR_BLOCK <= end;) {
		struct tar_header h;
		uint64_t size;
		int r;

		if (pread(b->fd, &h, sizeof(h), (off_t)at) != (ssize_t)sizeof(h))
			return error_set(err, ERR_INVALID, "the archive is cut short");
		if (h.name[0] == '\0')
			return 0;
		if (!tar_checksum_fits(&h) || !tar_get_number(h.size, sizeof(h.size), &size))
			return error_set(err, ERR_INVALID, "the archive is damaged at byte %llu",
					 (unsigned long long)at);
		at += TAR_BLOCK;
		if (h.type == '2' || h.type == '5')
			size = 0;
		if (size > end - at)
			return error_set(err, ERR_INVALID, "the archive is cut short");
		r = add_member(b, &h, at, size, err);
		if (r < 0)
			return r;
		at += (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	return 0;
}

int bundle_open_tar(int fd, const char *tmp, struct bundle *ret_bundle, struct error *err)
{
	struct bundle b CLEANUP(bundle_done) = { .fd = fd, .tmp = tmp };
	struct stat st;
	int r;

	b.members = calloc(1, sizeof(*b.members));
	if (!b.members || fstat(fd, &st) < 0)
		return error_errno(err, b.members ? -errno : -ENOMEM, "read the archive");
	r = read_members(&b, (uint64_t)st.st_size, err);
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
static const struct bundle_member *find(const struct bundle *b, const char *name)
{
	for (size_t i = b->n; i > 0; i--)
		if (streq(b->members[i - 1].name, name))
			return &b->members[i - 1];
	return NULL;
}

/* "../<folder>/layer.tar", as older docker versions point from one layer to another. */
static const struct bundle_member *follow(const struct bundle *b, const char *name)
{
	const struct bundle_member *m = find(b, name);

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

static int copy_out(const struct bundle *b, const struct bundle_member *m, int to)
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
	const struct bundle_member *m = bundle->members ? follow(bundle, name) : NULL;
	autoclose int fd = -1;
	int r;

	if (!bundle->members) {
		fd = open_regular_beneath(bundle->fd, name, O_RDONLY, 0);
	} else if (m) {
		fd = open(bundle->tmp, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : copy_out(bundle, m, fd);
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
