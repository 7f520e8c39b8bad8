/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Empty work disks in the cache: one formatted ext4 file of each size that was asked for lately.
 * What is kept is bounded, in number and in the room that it takes up: nothing needs it.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

enum { EMPTY_DISKS_MAX = 8, EMPTY_DISKS_MIB_MAX = 256 };

/*
 * An empty disk of that size, open for reading: the kept one, or one that is made now, which takes
 * a tenth of a second and more. The caller closes. Any number of workers; `cancel_fd` as in
 * struct proc_run.
 */
int empty_disk_open(const char *cache_dir, uint64_t size_mib, int cancel_fd,
		    struct error *err) MUST_USE;

/*
 * Removes those that nobody has used for `age_s` seconds and adds to *bytes what they take up. With
 * `dry_run` they stay. Worker.
 */
int empty_disks_prune(const char *cache_dir, int64_t age_s, bool dry_run, uint64_t *bytes,
		      struct error *err) MUST_USE;
