/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/deb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/image/inflate.h"
#include "server/image/unpacker.h"

enum { PATH_SIZE = 4096 };

/* Of all files together, in bytes: no kernel's package comes near it. */
static const uint64_t package_max = 16ULL << 30;

struct deb {
	struct unpacker u;
	char path[PATH_SIZE]; /* of the member at hand */
	bool has_member;      /* it was told of, and not yet given to the caller's function */
	bool at_end;
	uint64_t total;
};

/*
 * The next piece of the member's content: 1, or 0 at its end. What comes after that, the next
 * member or the end of the package, is noted.
 */
static int next_content(struct deb *deb, struct unpacker_piece *ret_piece, struct error *err)
{
	int r;

	if (deb->has_member || deb->at_end)
		return 0;
	r = unpacker_piece(&deb->u, ret_piece, err);
	if (r < 0)
		return r;
	switch (ret_piece->kind) {
	case UNPACK_MEMBER:
		if (ret_piece->len >= sizeof(deb->path) ||
		    memchr(ret_piece->bytes, '\0', ret_piece->len))
			return error_set(err, ERR_INVALID, "a file's name of %zu bytes",
					 ret_piece->len);
		memcpy(deb->path, ret_piece->bytes, ret_piece->len);
		deb->path[ret_piece->len] = '\0';
		deb->has_member = true;
		return 0;
	case UNPACK_BYTES:
		deb->total += ret_piece->len;
		return deb->total <= package_max
			       ? 1
			       : error_set(err, ERR_TOO_LARGE, "more than %llu GiB are no package",
					   (unsigned long long)package_max >> 30);
	case UNPACK_END:
	case UNPACK_REFUSED:
	default:
		deb->at_end = true;
		return 0;
	}
}

static int skip_content(struct deb *deb, struct error *err)
{
	struct unpacker_piece piece;
	int r;

	do
		r = next_content(deb, &piece, err);
	while (r > 0);
	return r < 0 && deb->path[0] ? error_wrap(err, "%.200s", deb->path) : r;
}

static int read_members(struct deb *deb, deb_member_fn *fn, void *data, struct error *err)
{
	for (;;) {
		autofree char *path = NULL;
		int r = skip_content(deb, err);

		if (r < 0 || !deb->has_member)
			return r;
		deb->has_member = false;
		path = strdup(deb->path);
		if (!path)
			return error_errno(err, -ENOMEM, "read package");
		r = fn(data, deb, path, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

int deb_read(const struct image_paths *paths, int fd, struct op *op, deb_member_fn *fn, void *data,
	     struct error *err)
{
	const struct unpack_job job = { .kind = UNPACK_PACKAGE };
	autofree struct deb *deb = calloc(1, sizeof(*deb));
	int r;

	if (!deb)
		return error_errno(err, -ENOMEM, "read package");
	deb->u = UNPACKER_INIT;
	r = unpacker_start(paths, UNPACK_FILES, -1, op, &deb->u, err);
	if (r == 0)
		r = unpacker_send(&deb->u, &job, sizeof(job), fd, err);
	if (r == 0)
		r = read_members(deb, fn, data, err);
	unpacker_done(&deb->u);
	return r;
}

/* The whole content to `sink`, within the limit. */
static int take_content(struct deb *deb, uint64_t max, inflate_sink *sink, void *data,
			struct error *err)
{
	struct unpacker_piece piece;
	uint64_t total = 0;
	int r;

	while ((r = next_content(deb, &piece, err)) > 0) {
		total += piece.len;
		if (total > max)
			return error_set(err, ERR_TOO_LARGE, "it has more than %llu bytes",
					 (unsigned long long)max);
		r = sink(data, piece.bytes, piece.len, err);
		if (r < 0)
			return r;
	}
	return r;
}

int deb_member_read(struct deb *deb, uint64_t max, void **ret_data, size_t *ret_len,
		    struct error *err)
{
	struct buf content CLEANUP(buf_done) = { 0 };
	int r;

	buf_init(&content, (size_t)max + 1);
	r = take_content(deb, max, inflate_to_buf, &content, err);
	if (r == 0)
		r = inflate_to_buf(&content, "", 1, err);
	if (r < 0)
		return r;
	/* Nothing was taken from its front: it begins where its memory does. */
	*ret_len = buf_len(&content) - 1;
	*ret_data = TAKE_PTR(content.data);
	return 0;
}

int deb_member_save(struct deb *deb, uint64_t max, int dir_fd, const char *name, mode_t mode,
		    struct error *err)
{
	autoclose int fd = open_beneath(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0)
		return error_errno(err, fd, "create %s", name);
	return take_content(deb, max, inflate_to_fd, &fd, err);
}
