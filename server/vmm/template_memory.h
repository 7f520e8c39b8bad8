/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a snapshot that many VMMs map at once and none can change.
 *
 * QEMU opens a memory file for writing even when it maps it private, so it is never given the
 * snapshot's own file: it gets a memfd with the same bytes, sealed against writing and resizing.
 * All clones of one snapshot share the memfd's pages. A few are kept for the next clone; one whose
 * file was deleted is dropped at the next call.
 */
#pragma once

#include "lib/base/macro.h"

/*
 * A sealed memfd with the contents of the regular file `file_fd` (borrowed). The caller closes it.
 * Any thread; copying the file takes as long as it takes on the first call for it.
 */
int template_memory_open(int file_fd) MUST_USE;

/* Gives up what is kept; VMMs that map it are not touched. */
void template_memory_drop_all(void);
