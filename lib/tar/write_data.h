/* SPDX-License-Identifier: Apache-2.0 */
/* The content of regular files, holes left out (GNU sparse format 1.0). */
#pragma once

#include "lib/tar/write_header.h"

/* The file's entry and all of it; nothing when it has gone, or is no regular file any more. */
int tar_put_regular(struct tar_entry_out *e, int dir_fd, const char *name);
