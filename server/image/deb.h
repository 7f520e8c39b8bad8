/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the files of a Debian package without installing it. banger-unpack reads it, and hands
 * over its regular files one after the other; kernel modules come decompressed.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "server/image/image.h"

struct deb;

/*
 * A regular file of the package; `path` has no leading "./" and is borrowed. To use its content,
 * read it from `deb` (deb_member_read(), deb_member_save()), once. 0: go on, 1: enough, or a
 * negative errno with err set.
 */
typedef int deb_member_fn(void *data, struct deb *deb, const char *path, struct error *err);

/* Calls `fn` for every regular file of the package open at `fd`, in its order. The errors of `fn`
 * and of the two below do not name the file. */
int deb_read(const struct image_paths *paths, int fd, struct op *op, deb_member_fn *fn, void *data,
	     struct error *err) MUST_USE;

/* The member's content, at most `max` bytes and a NUL that is not counted; the caller frees. */
int deb_member_read(struct deb *deb, uint64_t max, void **ret_data, size_t *ret_len,
		    struct error *err) MUST_USE;
/* Writes the member's content, at most `max` bytes, to the new file `name` in `dir_fd`. */
int deb_member_save(struct deb *deb, uint64_t max, int dir_fd, const char *name, mode_t mode,
		    struct error *err) MUST_USE;
