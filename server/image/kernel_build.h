/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of kernel_build() that others look at: tests, and who cleans the cache. */
#pragma once

#include "lib/base/error.h"
#include "lib/digest/digest.h"
#include "server/image/image.h"

/* In the cache: a folder a build that is under way or was broken off. */
#define KERNEL_BUILD_FOLDER "kernel-build"
#define KERNEL_BUILD_LOCK   "lock"
#define KERNEL_BUILD_NAME   "microvm"

/* A hash over everything that a build's result depends on. Returns 0 or a negative errno. */
int kernel_build_key(const char *config, const char *package, const char *version,
		     const char *compiler, struct digest *ret_key) MUST_USE;

/*
 * Removes folders of builds that were broken off and not touched for `age_s` seconds; adds what
 * they take up to *ret_bytes. One that is under way stays. With `dry_run` all stay. Worker.
 */
int kernel_build_prune(const struct image_paths *paths, int64_t age_s, bool dry_run,
		       uint64_t *ret_bytes, struct error *err) MUST_USE;

enum { KERNEL_BUILD_FILE_MAX = 256 };

/* True for a line of make's output, or of its dry run's, that says that a file is compiled. */
bool kernel_build_compiles(const char *line, char ret_file[KERNEL_BUILD_FILE_MAX]);
