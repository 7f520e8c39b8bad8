/* SPDX-License-Identifier: Apache-2.0 */
/* Root file systems that lie on this machine's disk ready made: a squashfs, or a folder. */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/* True when the file starts as a squashfs does. */
bool register_is_squashfs(int fd);
/*
 * Copies it into the staging folder as SQUASHFS_FILE; the owner's file is never used itself, as it
 * could change. ERR_INVALID for one that is cut short, and for a compression that guests need not
 * know. Nothing but the first 96 bytes are looked at.
 */
int register_squashfs(int fd, const struct staging *staging, struct op *op,
		      struct error *err) MUST_USE;

/* True when programs lie where a root file system has them. */
bool register_is_root(int folder_fd);
/* All that is in the folder as one tar archive in a file without a name, at offset 0. */
int register_root(const struct image_paths *paths, int folder_fd, struct op *op, int *ret_fd,
		  struct error *err) MUST_USE;
