/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tar/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"

bool tar_all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* --- out --- */

static ssize_t fd_room(void *data, uint8_t **ret_room)
{
	struct tar_out *out = data;

	*ret_room = out->buffer;
	return TAR_BUFFER;
}

static int fd_filled(void *data, size_t len)
{
	struct tar_out *out = data;

	return write_all(out->fd, out->buffer, len);
}

int tar_out_init(struct tar_out *out, const struct tar_sink *sink, int fd, struct error *err)
{
	*out = (struct tar_out){ .sink = sink, .fd = fd, .err = err };
	if (sink)
		return 0;
	out->to_fd = (struct tar_sink){ .room = fd_room, .filled = fd_filled, .data = out };
	out->sink = &out->to_fd;
	out->buffer = malloc(TAR_BUFFER);
	return out->buffer ? 0 : error_errno(err, -ENOMEM, "pack files");
}

void tar_out_done(struct tar_out *out)
{
	free(out->buffer);
}

int tar_out_flush(struct tar_out *out)
{
	int r = out->used > 0 ? out->sink->filled(out->sink->data, out->used) : 0;

	out->used = 0;
	out->left = 0;
	return r < 0 ? error_errno(out->err, r, "write the archive") : 0;
}

ssize_t tar_out_room(struct tar_out *out, uint8_t **ret_room)
{
	if (out->left == 0) {
		ssize_t n = tar_out_flush(out);

		if (n < 0)
			return n;
		n = out->sink->room(out->sink->data, &out->room);
		if (n <= 0)
			return error_errno(out->err, n < 0 ? (int)n : -EPIPE, "write the archive");
		out->left = (size_t)n;
	}
	*ret_room = out->room;
	return (ssize_t)out->left;
}

void tar_out_filled(struct tar_out *out, size_t len)
{
	out->room += len;
	out->left -= len;
	out->used += len;
}

int tar_out_put(struct tar_out *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		uint8_t *room;
		ssize_t n = tar_out_room(out, &room);
		size_t some = n > 0 && (size_t)n < len ? (size_t)n : len;

		if (n < 0)
			return (int)n;
		memcpy(room, p, some);
		tar_out_filled(out, some);
		p += some;
		len -= some;
	}
	return 0;
}

/* --- in --- */

static ssize_t fd_next(void *data, const uint8_t **ret_bytes)
{
	struct tar_in *in = data;
	ssize_t n;

	do
		n = read(in->fd, in->buffer, TAR_BUFFER);
	while (n < 0 && errno == EINTR);
	*ret_bytes = in->buffer;
	return n < 0 ? -errno : n;
}

int tar_in_init(struct tar_in *in, const struct tar_source *source, int fd, struct error *err)
{
	*in = (struct tar_in){ .source = source, .fd = fd, .err = err };
	if (source)
		return 0;
	in->from_fd = (struct tar_source){ .next = fd_next, .data = in };
	in->source = &in->from_fd;
	in->buffer = malloc(TAR_BUFFER);
	return in->buffer ? 0 : error_errno(err, -ENOMEM, "unpack files");
}

void tar_in_done(struct tar_in *in)
{
	free(in->buffer);
}

ssize_t tar_in_take(struct tar_in *in, size_t max, const uint8_t **ret_bytes)
{
	size_t n;

	if (in->left == 0) {
		ssize_t came = in->source->next(in->source->data, &in->bytes);

		if (came < 0)
			return error_errno(in->err, (int)came, "read the archive");
		in->left = (size_t)came;
	}
	n = in->left < max ? in->left : max;
	*ret_bytes = in->bytes;
	in->bytes += n;
	in->left -= n;
	return (ssize_t)n;
}
