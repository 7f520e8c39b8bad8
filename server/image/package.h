/* SPDX-License-Identifier: Apache-2.0 */
/* A package of the host's distribution on its way into the store. */
#pragma once

#include "server/image/apt.h"
#include "server/image/store.h"

/*
 * Opens a staging folder in `parent` and downloads the package into it, as stage "download". The
 * package has no name any more once it is open: *ret_fd is all there is of it, the caller's to
 * close. `source` (512 bytes) says where it came from, for people.
 */
int package_fetch(const struct apt_package *package, const char *parent, struct op *op,
		  struct staging *ret_staging, int *ret_fd, char source[512],
		  struct error *err) MUST_USE;
