/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels from distribution packages: the part between download and store. */
#pragma once

#include "server/image/image.h"
#include "server/image/store.h"

/* Words that cost no guest anything and save time at every start. */
#define KERNEL_PACKAGE_CMDLINE "cryptomgr.notests random.trust_cpu=on"

/*
 * Unpacks the package open at `deb_fd` into the staging folder (vmlinux, config, modules/) and
 * publishes it. `info` has name, source and cmdline; the rest is filled in.
 */
int kernel_from_package(const struct image_paths *paths, struct staging *staging, int deb_fd,
			struct op *op, struct kernel_info *info, struct error *err) MUST_USE;
