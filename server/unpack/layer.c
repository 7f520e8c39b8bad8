/* SPDX-License-Identifier: Apache-2.0 */
#include "server/unpack/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

/* Compressed bytes between two reports. */
enum { STEP = 4 << 20 };

int layer_wrap(const struct layer *layer, struct error *err)
{
	return error_wrap(err, "layer %zu of %zu", layer->index + 1, layer->u->n_layers);
}

static int fail(const struct layer *layer, const char *what, struct error *err)
{
	const char *text = archive_error_string(layer->ar);

	(void)error_set(err, ERR_INVALID, "%s: %s", what, text ? text : "not a tar archive");
	return layer_wrap(layer, err);
}

/* So many compressed bytes are read by now. */
static void count(struct layer *layer, uint64_t read)
{
	uint64_t before = layer->read;

	layer->read = read;
	*layer->counted += read - before;
	if (layer->u->progress && read / STEP != before / STEP)
		layer->u->progress(layer->u->data, layer->writing, *layer->counted, layer->all);
}

static la_ssize_t on_read(struct archive *ar, void *data, const void **ret_bytes)
{
	struct layer *layer = data;
	ssize_t n = pread(layer->fd, layer->buf, sizeof(layer->buf), (off_t)layer->read);

	if (n < 0) {
		archive_set_error(ar, errno, "read: %s", strerrordesc_np(errno));
		return -1;
	}
	count(layer, layer->read + (uint64_t)n);
	*ret_bytes = layer->buf;
	return n;
}

static la_ssize_t on_gzip(struct archive *ar, void *data, const void **ret_bytes)
{
	struct layer *layer = data;
	const char *why = NULL;
	ssize_t n = gunzip_next(layer->gunzip, ret_bytes, &why);

	if (n < 0) {
		archive_set_error(ar, (int)-n, "%s", why ? why : strerrordesc_np((int)-n));
		return -1;
	}
	count(layer, layer->gunzip->at);
	return n;
}

/*
 * By the first bytes, not by what a manifest claims; at most one compression, so that what is
 * compressed twice is no archive. gzip is decompressed here, zstd by libarchive.
 */
static int open_archive(struct layer *layer)
{
	static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	unsigned char first[4] = { 0 };
	int filter = ARCHIVE_FILTER_NONE;

	if (pread(layer->fd, first, sizeof(first), 0) < 0)
		return ARCHIVE_FATAL;
	if (memcmp(first, zstd, sizeof(zstd)) == 0)
		filter = ARCHIVE_FILTER_ZSTD;
	if (memcmp(first, gzip, sizeof(gzip)) == 0) {
		layer->gunzip = malloc(sizeof(*layer->gunzip));
		if (!layer->gunzip)
			return ARCHIVE_FATAL;
		gunzip_init(layer->gunzip, layer->fd);
	}
	if (archive_read_append_filter(layer->ar, filter) != ARCHIVE_OK ||
	    archive_read_set_format(layer->ar, ARCHIVE_FORMAT_TAR) != ARCHIVE_OK)
		return ARCHIVE_FATAL;
	return archive_read_open(layer->ar, layer, NULL, layer->gunzip ? on_gzip : on_read, NULL);
}

int layer_open(struct layer *layer, struct error *err)
{
	struct stat st;

	if (fstat(layer->fd, &st) < 0)
		return error_errno(err, -errno, "layer %zu", layer->index + 1);
	layer->size = (uint64_t)st.st_size;
	layer->ar = archive_read_new();
	if (!layer->ar)
		return error_errno(err, -ENOMEM, "layer %zu", layer->index + 1);
	/* Its first bytes are read already. */
	if (open_archive(layer) != ARCHIVE_OK)
		return fail(layer, "damaged", err);
	return 0;
}

/* How much has come out so far, held against what went in. */
static int check_size(const struct layer *layer, struct error *err)
{
	int64_t out = archive_filter_bytes(layer->ar, 0);
	uint64_t all = *layer->total + (out > 0 ? (uint64_t)out : 0);

	if (all > layer->u->bytes_max)
		(void)error_set(err, ERR_TOO_LARGE,
				"the image is larger than %llu MiB when unpacked",
				(unsigned long long)layer->u->bytes_max >> 20);
	else if (out > 0 && (uint64_t)out > layer->u->ratio_from &&
		 (uint64_t)out / layer->u->ratio_max > layer->size)
		(void)error_set(err, ERR_TOO_LARGE,
				"%llu bytes become more than %lld MiB when unpacked",
				(unsigned long long)layer->size, (long long)out >> 20);
	else
		return 0;
	return layer_wrap(layer, err);
}

int layer_next(struct layer *layer, struct archive_entry **ret_entry, struct error *err)
{
	int r = archive_read_next_header(layer->ar, ret_entry);

	/* libarchive takes a compressed file that it can't make out for an empty one. */
	if (r == ARCHIVE_EOF && layer->size > 0 && !layer->gunzip &&
	    archive_filter_bytes(layer->ar, 0) == 0)
		return fail(layer, "damaged", err);
	if (r == ARCHIVE_EOF)
		return check_size(layer, err);
	/* After a header that is none it would go on behind it. */
	if (r < ARCHIVE_WARN || r == ARCHIVE_RETRY)
		return fail(layer, "damaged", err);
	/* A name that would come out as another one. */
	if (r == ARCHIVE_WARN && archive_error_string(layer->ar) &&
	    strstr(archive_error_string(layer->ar), "can't be converted"))
		return fail(layer, "damaged", err);
	r = check_size(layer, err);
	return r < 0 ? r : 1;
}

int layer_data(struct layer *layer, const void **ret_data, size_t *ret_len, int64_t *ret_offset,
	       struct error *err)
{
	la_int64_t offset = 0;
	int r = archive_read_data_block(layer->ar, ret_data, ret_len, &offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r < ARCHIVE_WARN)
		return fail(layer, "damaged", err);
	*ret_offset = offset;
	r = check_size(layer, err);
	return r < 0 ? r : 1;
}

void layer_close(struct layer *layer)
{
	if (layer->ar) {
		if (archive_filter_bytes(layer->ar, 0) > 0)
			*layer->total += (uint64_t)archive_filter_bytes(layer->ar, 0);
		(void)archive_read_free(layer->ar);
	}
	free(layer->gunzip);
	layer->ar = NULL;
	layer->gunzip = NULL;
}
