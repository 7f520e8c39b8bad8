/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of Debian packages (an ar archive with data.tar.* in it), and single files that are
 * compressed (gzip, xz, zstd, lz4 in both of its formats). As hostile as layers, and read in the
 * same process; see unpack.h for the locale.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

/* Where it goes. Both return 0 or a negative errno with err set, which ends the reading. */
struct files_sink {
	/* A regular file of the package begins; `name` has no "./" in front. */
	int (*member)(void *data, const char *name, struct error *err);
	int (*bytes)(void *data, const void *bytes, size_t len, struct error *err);
};

/*
 * The regular files of the package open at `fd`, from its offset on, in its order. Kernel modules
 * that are compressed ("x.ko.xz") come plain, under the name that they have.
 */
int files_package(int fd, const struct files_sink *sink, void *data, struct error *err) MUST_USE;

/* A part of a file. */
struct files_range {
	uint64_t at;
	uint64_t len;     /* fewer when the file ends before */
	uint64_t out_len; /* bytes that it holds, and no more are read; UINT64_MAX: not known */
};

/* What the range holds; what is not compressed passes through. */
int files_plain(int fd, const struct files_range *range, const struct files_sink *sink, void *data,
		struct error *err) MUST_USE;
