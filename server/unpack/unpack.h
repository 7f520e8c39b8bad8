/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of an image into one tar stream, as if they were unpacked one over the other: whiteouts
 * and opaque folders applied, every name once, owners, modes, times, extended attributes, devices
 * and hard links kept. The layers are read twice: for their names first, then for what is left of
 * them. So nothing is written of an image that something is wrong with, and a layer may do to older
 * ones whatever it likes.
 *
 * Runs in a process of its own (main.c): all of it is hostile input. The locale's encoding must be
 * UTF-8, in which names then stay as they are, whatever bytes they have.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

enum { UNPACK_LAYERS_MAX = 500 };

/* Called now and then; `done` of `total` compressed bytes, both passes counted. */
typedef void unpack_progress_fn(void *data, bool writing, uint64_t done, uint64_t total);

struct unpack {
	const int *layers; /* open at their start, seekable; oldest first */
	size_t n_layers;
	int out_fd;         /* the tar stream; not closed */
	uint64_t bytes_max; /* of all layers, decompressed */
	/* From here on (decompressed bytes) a layer that has grown more than `ratio_max` times is a
	 * bomb. */
	uint64_t ratio_from;
	unsigned int ratio_max;
	unpack_progress_fn *progress; /* may be NULL */
	/* The names are read and nothing is wrong with them; what is written comes next. No file is
	 * younger than `newest`, in seconds since 1970. May be NULL. */
	void (*scanned)(void *data, uint64_t newest);
	void *data;
};

/* Errors name the layer ("layer 3 of 5") and the member. */
int unpack_run(const struct unpack *u, struct error *err) MUST_USE;
