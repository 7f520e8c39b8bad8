/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/write_data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

struct piece {
	uint64_t offset;
	uint64_t len;
};

/* Exactly `len` bytes from `offset`; a file that has become shorter is filled with zeros. */
static int put_data(struct tar_entry_out *e, int fd, uint64_t offset, uint64_t len)
{
	while (len > 0) {
		uint8_t *room;
		ssize_t n = tar_out_room(&e->out, &room);
		size_t want = n > 0 && (uint64_t)n < len ? (size_t)n : (size_t)len;

		if (n < 0)
			return -EIO;
		n = pread(fd, room, want, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(e->err, -errno, "read %.300s", e->path);
		if (n == 0) {
			memset(room, 0, want);
			n = (ssize_t)want;
		}
		tar_out_filled(&e->out, (size_t)n);
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

static int put_sparse(struct tar_entry_out *e, int fd, const struct stat *st,
		      const struct piece *pieces, size_t n)
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
	if (r < 0 || tar_add_pax(e, "GNU.sparse.major", "1") < 0 ||
	    tar_add_pax(e, "GNU.sparse.minor", "0") < 0 ||
	    tar_add_pax(e, "GNU.sparse.name", e->path) < 0 ||
	    tar_add_pax_number(e, "GNU.sparse.realsize", (uint64_t)st->st_size) < 0)
		return error_errno(e->err, -ENOMEM, "describe %.300s", e->path);
	if (tar_put_entry(e, st, '0', map_size + data, "") < 0 ||
	    tar_put(e, buf_bytes(&map), buf_len(&map)) < 0 || tar_put_padding(e, buf_len(&map)) < 0)
		return -EIO;
	for (size_t i = 0; i < n; i++)
		if (put_data(e, fd, pieces[i].offset, pieces[i].len) < 0)
			return -EIO;
	return tar_put_padding(e, data);
}

int tar_put_regular(struct tar_entry_out *e, int dir_fd, const char *name)
{
	autoclose int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	autofree struct piece *pieces = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(e->err, -errno, "open %.300s", e->path);
	if (!S_ISREG(st.st_mode))
		return 0; /* replaced meanwhile */
	if (tar_add_xattrs(e, fd) < 0)
		return -EIO;
	if (st.st_size > 0 && (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size)
		pieces = calloc(TAR_HOLES_MAX, sizeof(*pieces));
	if (pieces)
		n = find_pieces(fd, (uint64_t)st.st_size, pieces, TAR_HOLES_MAX);
	if (n > 0)
		return put_sparse(e, fd, &st, pieces, n);
	if (tar_put_entry(e, &st, '0', (uint64_t)st.st_size, "") < 0 ||
	    put_data(e, fd, 0, (uint64_t)st.st_size) < 0)
		return -EIO;
	return tar_put_padding(e, (uint64_t)st.st_size);
}
