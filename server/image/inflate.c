/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/inflate.h"

#include <archive.h>
#include <errno.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "server/image/archives.h"

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

static int pump(struct archive *ar, uint64_t out_len, uint64_t out_max, inflate_sink *sink,
		void *data, struct error *err)
{
	static const size_t piece = 256 * 1024;
	autofree char *bytes = malloc(piece);
	uint64_t total = 0;

	if (!bytes)
		return error_errno(err, -ENOMEM, "decompress");
	while (total < out_len) {
		size_t want = out_len - total < piece ? (size_t)(out_len - total) : piece;
		la_ssize_t n = archive_read_data(ar, bytes, want);
		int r;

		if (n < 0)
			return archives_error(err, ar, "decompress");
		if (n == 0)
			break;
		total += (uint64_t)n;
		if (total > out_max)
			return error_set(err, ERR_TOO_LARGE,
					 "more than %llu bytes when decompressed",
					 (unsigned long long)out_max);
		r = sink(data, bytes, (size_t)n, err);
		if (r < 0)
			return r;
	}
	if (out_len != UINT64_MAX && total != out_len)
		return error_set(err, ERR_INVALID, "truncated: %llu of %llu bytes",
				 (unsigned long long)total, (unsigned long long)out_len);
	return 0;
}

int inflate_bytes(const void *in, size_t in_len, uint64_t out_len, uint64_t out_max,
		  inflate_sink *sink, void *data, struct error *err)
{
	struct archive *ar CLEANUP(archives_read_p)
	= archive_read_new();
	struct archive_entry *entry;

	if (!ar)
		return error_errno(err, -ENOMEM, "decompress");
	if (archives_support_filters(ar) != ARCHIVE_OK ||
	    archive_read_support_format_raw(ar) != ARCHIVE_OK ||
	    archive_read_open_memory(ar, in, in_len) != ARCHIVE_OK ||
	    archive_read_next_header(ar, &entry) != ARCHIVE_OK)
		return archives_error(err, ar, "decompress");
	return pump(ar, out_len, out_max, sink, data, err);
}
