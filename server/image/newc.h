/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that a kernel unpacks as its initramfs: cpio's "newc" form
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Owners are 0:0, times 0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"

struct newc {
	int fd;         /* borrowed */
	uint32_t inode; /* of the last member */
};

/* A member. `mode` has its type too; `device` is that of a device node. 0 or a negative errno, of
 * which -EFBIG is a file or name that is too long. */
int newc_put(struct newc *ar, const char *name, mode_t mode, dev_t device, const void *data,
	     size_t len) MUST_USE;

/* The last member's name, which ends the archive. */
#define NEWC_END "TRAILER!!!"
int newc_end(struct newc *ar) MUST_USE;
