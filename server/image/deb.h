/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the files of a Debian package without installing it: an ar archive with data.tar.* in it.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>

#include "lib/base/error.h"

/*
 * A member of the package; `path` has no leading "./" and is borrowed. To use its content, read it
 * from `ar` (deb_member_read(), deb_member_save()). 0: go on, 1: enough, or a negative errno with
 * err set.
 */
typedef int deb_member_fn(void *data, struct archive *ar, struct archive_entry *entry,
			  const char *path, struct error *err);

/* Calls `fn` for every member of the package's data, in its order. */
int deb_read(int fd, deb_member_fn *fn, void *data, struct error *err) MUST_USE;

/* The member's content, at most `max` bytes; the caller frees. */
int deb_member_read(struct archive *ar, struct archive_entry *entry, uint64_t max, void **ret_data,
		    size_t *ret_len, struct error *err) MUST_USE;
/* Writes the member's content, at most `max` bytes, to the new file `name` in `dir_fd`. */
int deb_member_save(struct archive *ar, struct archive_entry *entry, uint64_t max, int dir_fd,
		    const char *name, mode_t mode, struct error *err) MUST_USE;
