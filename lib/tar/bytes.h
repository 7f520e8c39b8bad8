/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an archive on their way: written straight into a sink's room, read straight from a
 * source's memory. A descriptor is a sink and a source like any other, with a buffer here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/tar/tar.h"

enum { TAR_BUFFER = 128 * 1024 };

bool tar_all_zero(const uint8_t *p, size_t len);

struct tar_out {
	const struct tar_sink *sink;
	struct error *err;
	uint8_t *room;
	size_t left; /* bytes of the room that are free … */
	size_t used; /* … and filled, but not handed over */
	struct tar_sink to_fd;
	int fd;
	uint8_t *buffer;
};

struct tar_in {
	const struct tar_source *source;
	struct error *err;
	const uint8_t *bytes;
	size_t left; /* bytes at hand */
	struct tar_source from_fd;
	int fd;
	uint8_t *buffer;
};

/* `err` is borrowed for the life of either. For a sink, or (NULL) for the descriptor. */
int tar_out_init(struct tar_out *out, const struct tar_sink *sink, int fd, struct error *err);
void tar_out_done(struct tar_out *out);
/* Room for at least one byte: how much there is at *ret_room, or an error. */
ssize_t tar_out_room(struct tar_out *out, uint8_t **ret_room);
/* So much of that room has been filled. */
void tar_out_filled(struct tar_out *out, size_t len);
int tar_out_put(struct tar_out *out, const void *bytes, size_t len);
/* Hands over what has been filled. */
int tar_out_flush(struct tar_out *out);

int tar_in_init(struct tar_in *in, const struct tar_source *source, int fd, struct error *err);
void tar_in_done(struct tar_in *in);
/* Bytes at *ret_bytes that are good until the next call: at most `max`, 0 at the end, or an error.
 * They count as read. */
ssize_t tar_in_take(struct tar_in *in, size_t max, const uint8_t **ret_bytes);
