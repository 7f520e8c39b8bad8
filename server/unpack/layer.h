/* SPDX-License-Identifier: Apache-2.0 */
/* One layer as a stream of tar members, within the limits of struct unpack. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "server/unpack/gunzip.h"
#include "server/unpack/unpack.h"

struct layer {
	const struct unpack *u;
	struct archive *ar;
	int fd;
	size_t index;    /* from 0 */
	uint64_t size;   /* compressed */
	uint64_t read;   /* of them, by now */
	uint64_t *total; /* decompressed bytes of all layers before; this one's are added at the end
			  */
	uint64_t *counted; /* compressed bytes of both passes, for the progress */
	uint64_t all;      /* that there are */
	bool writing;
	struct gunzip *gunzip; /* NULL: it is not gzip */
	char buf[64 * 1024];
};

/* `layer` is filled in and must not move; layer_close() afterwards, whatever is returned. */
int layer_open(struct layer *layer, struct error *err) MUST_USE;
/* 1 and the next member (borrowed until the next call), 0 at the end. */
int layer_next(struct layer *layer, struct archive_entry **ret_entry, struct error *err) MUST_USE;
/* A piece of the member's content at `ret_offset`: 1, or 0 at its end. */
int layer_data(struct layer *layer, const void **ret_data, size_t *ret_len, int64_t *ret_offset,
	       struct error *err) MUST_USE;
/* Adds what it had to *total. */
void layer_close(struct layer *layer);
/* Puts "layer 3 of 5: " in front. */
int layer_wrap(const struct layer *layer, struct error *err);
