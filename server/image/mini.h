/* SPDX-License-Identifier: Apache-2.0 */
/* The image `mini`: the part between download and store. */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/* Builds and publishes it from the package open at `deb_fd`. `info` has name and source; the rest
 * is filled in. */
int mini_from_package(const struct image_paths *paths, struct staging *staging, int deb_fd,
		      struct op *op, struct image_info *info, struct error *err) MUST_USE;
