/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/files.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum { BLOCK = 64 * 1024 };

static void read_p(struct archive **ar)
{
	if (*ar)
		(void)archive_read_free(*ar);
}

static int fail(struct archive *ar, const char *what, struct error *err)
{
	const char *text = archive_error_string(ar);

	return error_set(err, ERR_INVALID, "%s: %s", what, text ? text : "unknown error");
}

/* Never those that libarchive hands to another program. */
static bool support_filters(struct archive *ar)
{
	return archive_read_support_filter_gzip(ar) == ARCHIVE_OK &&
	       archive_read_support_filter_xz(ar) == ARCHIVE_OK &&
	       archive_read_support_filter_zstd(ar) == ARCHIVE_OK &&
	       archive_read_support_filter_lz4(ar) == ARCHIVE_OK;
}

/* An archive that reads from another one's current member. */
static la_ssize_t on_inner(struct archive *ar, void *data, const void **ret_block)
{
	struct archive *outer = data;
	la_int64_t offset;
	size_t size = 0;
	int r = archive_read_data_block(outer, ret_block, &size, &offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r < ARCHIVE_WARN) {
		archive_set_error(ar, archive_errno(outer), "%s", archive_error_string(outer));
		return -1;
	}
	return (la_ssize_t)size;
}

/* The content of `ar`'s current member, at most `out_len` bytes. */
static int put_content(struct archive *ar, uint64_t out_len, const struct files_sink *sink,
		       void *data, uint64_t *ret_total, struct error *err)
{
	autofree char *bytes = malloc(BLOCK);

	if (!bytes)
		return error_errno(err, -ENOMEM, "decompress");
	*ret_total = 0;
	while (*ret_total < out_len) {
		uint64_t left = out_len - *ret_total;
		la_ssize_t n = archive_read_data(ar, bytes, left < BLOCK ? (size_t)left : BLOCK);
		int r;

		if (n < 0)
			return fail(ar, "decompress", err);
		if (n == 0)
			return 0;
		*ret_total += (uint64_t)n;
		r = sink->bytes(data, bytes, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- packages --- */

/* A file that is compressed as a whole, in the middle of an archive. */
static int put_inner(struct archive *outer, const struct files_sink *sink, void *data,
		     struct error *err)
{
	struct archive *ar CLEANUP(read_p)
	= archive_read_new();
	struct archive_entry *entry;
	uint64_t total;

	if (!ar)
		return error_errno(err, -ENOMEM, "decompress");
	if (!support_filters(ar) || archive_read_support_format_raw(ar) != ARCHIVE_OK ||
	    archive_read_open(ar, outer, NULL, on_inner, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(ar, &entry) != ARCHIVE_OK)
		return fail(ar, "decompress", err);
	return put_content(ar, UINT64_MAX, sink, data, &total, err);
}

static const char *clean_name(const char *name)
{
	while (str_has_prefix(name, "./")) {
		name += 2;
		name += strspn(name, "/");
	}
	return name;
}

/* What reads a package, and where it goes. */
struct package {
	struct archive *ar; /* whose member is at hand */
	const struct files_sink *sink;
	void *data;
};

/* 1: no more members are wanted. */
typedef int member_fn(struct package *p, struct archive_entry *entry, struct error *err);

/* Calls `fn` with each member: 1 when it has had enough, 0 at the end. */
static int each_member(struct package *p, member_fn *fn, struct error *err)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(p->ar, &entry)) != ARCHIVE_EOF) {
		/* After a header that is none libarchive would go on behind it. */
		if (r < ARCHIVE_WARN || r == ARCHIVE_RETRY)
			return fail(p->ar, "read package", err);
		r = fn(p, entry, err);
		if (r != 0)
			return r;
	}
	return 0;
}

static int put_member(struct package *p, struct archive_entry *entry, struct error *err)
{
	const char *whole = archive_entry_pathname(entry);
	const char *name = clean_name(whole ? whole : "");
	const char *base = strrchr(name, '/');
	uint64_t total;
	int r;

	if (archive_entry_filetype(entry) != S_IFREG || archive_entry_hardlink(entry))
		return 0;
	r = p->sink->member(p->data, name, err);
	if (r < 0)
		return r;
	return strstr(base ? base : name, ".ko.")
		       ? put_inner(p->ar, p->sink, p->data, err)
		       : put_content(p->ar, UINT64_MAX, p->sink, p->data, &total, err);
}

/* The one member that counts, an archive itself. */
static int put_data(struct package *p, struct archive_entry *entry, struct error *err)
{
	struct archive *ar CLEANUP(read_p)
	= archive_read_new();
	struct package inner = { .ar = ar, .sink = p->sink, .data = p->data };
	const char *name = archive_entry_pathname(entry);
	int r;

	if (!name || !str_has_prefix(name, "data.tar"))
		return 0;
	if (!ar)
		return error_errno(err, -ENOMEM, "read package");
	if (!support_filters(ar) || archive_read_support_format_tar(ar) != ARCHIVE_OK ||
	    archive_read_open(ar, p->ar, NULL, on_inner, NULL) != ARCHIVE_OK)
		return fail(ar, "read package", err);
	r = each_member(&inner, put_member, err);
	return r < 0 ? r : 1;
}

int files_package(int fd, const struct files_sink *sink, void *data, struct error *err)
{
	struct archive *ar CLEANUP(read_p)
	= archive_read_new();
	struct package package = { .ar = ar, .sink = sink, .data = data };
	int r;

	if (!ar)
		return error_errno(err, -ENOMEM, "read package");
	if (archive_read_support_format_ar(ar) != ARCHIVE_OK ||
	    archive_read_open_fd(ar, fd, BLOCK) != ARCHIVE_OK)
		return fail(ar, "read package", err);
	r = each_member(&package, put_data, err);
	if (r == 0)
		return error_set(err, ERR_INVALID, "the package has no data.tar");
	return r < 0 ? r : 0;
}

/* --- single files --- */

struct ranged {
	int fd;
	uint64_t at;
	uint64_t end;
	char buf[BLOCK];
};

static la_ssize_t on_range(struct archive *ar, void *data, const void **ret_block)
{
	struct ranged *range = data;
	uint64_t left = range->end - range->at;
	ssize_t n =
		pread(range->fd, range->buf, left < BLOCK ? (size_t)left : BLOCK, (off_t)range->at);

	if (n < 0) {
		archive_set_error(ar, errno, "read: %s", strerrordesc_np(errno));
		return -1;
	}
	range->at += (uint64_t)n;
	*ret_block = range->buf;
	return n;
}

int files_plain(int fd, const struct files_range *range, const struct files_sink *sink, void *data,
		struct error *err)
{
	struct archive *ar CLEANUP(read_p)
	= archive_read_new();
	autofree struct ranged *in = malloc(sizeof(*in));
	struct archive_entry *entry;
	uint64_t total;
	int r;

	if (!ar || !in)
		return error_errno(err, -ENOMEM, "decompress");
	*in = (struct ranged){ .fd = fd, .at = range->at };
	if (__builtin_add_overflow(range->at, range->len, &in->end) || in->end > INT64_MAX)
		return error_set(err, ERR_INVALID, "decompress: a range outside of all files");
	if (!support_filters(ar) || archive_read_support_format_raw(ar) != ARCHIVE_OK ||
	    archive_read_open(ar, in, NULL, on_range, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(ar, &entry) != ARCHIVE_OK)
		return fail(ar, "decompress", err);
	r = put_content(ar, range->out_len, sink, data, &total, err);
	if (r < 0 || range->out_len == UINT64_MAX || total == range->out_len)
		return r;
	return error_set(err, ERR_INVALID, "truncated: %llu of %llu bytes",
			 (unsigned long long)total, (unsigned long long)range->out_len);
}
