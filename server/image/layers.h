/* SPDX-License-Identifier: Apache-2.0 */
/* Layers into a squashfs, through banger-unpack, which reads them for us in a cage. */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/* Layers with more than this many bytes together, unpacked, are refused. */
#define LAYERS_BYTES_MAX (64ULL << 30)

/*
 * Writes SQUASHFS_FILE in the staging folder from the layers, oldest first, as stages "scan" and
 * "squashfs". The root folder is as old as the newest of the files, so the same layers always make
 * the same squashfs. Errors name layer and member.
 */
int layers_to_squashfs(const struct image_paths *paths, const struct staging *staging,
		       const int *layers, size_t n_layers, struct op *op,
		       struct error *err) MUST_USE;
