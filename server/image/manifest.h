/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json of the store's entries, to and from the structs of image.h. */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/*
 * Ends the building of an image: hashes SQUASHFS_FILE in the staging folder, completes `info` (id
 * and size; name, source and config are the caller's) and publishes.
 */
int image_publish(struct staging *staging, struct image_info *info, struct error *err) MUST_USE;

/* The same for a kernel: file `vmlinux`; `modules` is borrowed and may be NULL. */
int kernel_publish(struct staging *staging, struct kernel_info *info, const json_t *modules,
		   struct error *err) MUST_USE;
