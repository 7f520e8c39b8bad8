/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648 section 4, padded). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/macro.h"

/* NUL-terminated; the caller frees. NULL when out of memory. */
char *base64_encode(const void *bytes, size_t len) MUST_USE;

/* Returns the number of bytes, or -EINVAL; `out` has room for 3 * len / 4. */
ssize_t base64_decode(const char *text, size_t len, unsigned char *out) MUST_USE;
