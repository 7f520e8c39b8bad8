/* SPDX-License-Identifier: Apache-2.0 */
/* Takes away what reading archives does not need. */
#pragma once

#include "lib/base/macro.h"

/*
 * No files by name (Landlock), no system calls but those of reading, writing and memory (seccomp),
 * little memory and processor time, no core dumps. For good. 0 or a negative errno; a kernel
 * without Landlock is fine, the system calls that open files are gone anyway.
 */
int confine_self(void) MUST_USE;
