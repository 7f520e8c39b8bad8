/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/inflate.h"

#include <errno.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"

int inflate_to_fd(void *data, const void *bytes, size_t len, struct error *err)
{
	int r = write_all(*(const int *)data, bytes, len);

	return r < 0 ? error_errno(err, r, "write") : 0;
}

int inflate_to_buf(void *data, const void *bytes, size_t len, struct error *err)
{
	int r = buf_append(data, bytes, len);

	return r < 0 ? error_errno(err, r, "decompress") : 0;
}

int inflate(const struct unpacker *u, const struct inflate *what, inflate_sink *sink, void *data,
	    struct error *err)
{
	const struct unpack_job job = {
		.kind = UNPACK_PLAIN, .at = what->at, .len = what->len, .out_len = what->out_len
	};
	uint64_t total = 0;
	int r = unpacker_send(u, &job, sizeof(job), what->fd, err);

	while (r == 0) {
		struct unpacker_piece piece;

		r = unpacker_piece(u, &piece, err);
		if (r < 0 || piece.kind == UNPACK_END)
			return r;
		total += piece.len;
		if (total > what->out_max)
			return error_set(err, ERR_TOO_LARGE,
					 "more than %llu bytes when decompressed",
					 (unsigned long long)what->out_max);
		r = sink(data, piece.bytes, piece.len, err);
	}
	return r;
}
