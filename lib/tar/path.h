/* SPDX-License-Identifier: Apache-2.0 */
/* Names inside a folder that none of them leaves. */
#pragma once

#include <stdbool.h>

/* Makes the name relative. False when it has ".."; nothing may be left of it. */
bool tar_path_clean(char *path);
/* A folder. Symbolic links on the way are followed, but not out of `dir_fd`. A descriptor, or a
 * negative errno. */
int tar_path_open(int dir_fd, const char *path);
/* The folder that `path` (which is cut for it) is in, with `make` made where it is missing; the
 * last part in *ret_name. A descriptor, or a negative errno. */
int tar_path_parent(int dir_fd, char *path, bool make, const char **ret_name);
