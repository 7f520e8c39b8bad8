/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/macro.h"

/* Bytes of the sequence at `bytes`, of which `left` can be read (1 at least); 0 when it is not one.
 */
size_t utf8_sequence(const void *bytes, size_t left) MUST_USE;

/* Bytes of any kind as UTF-8 text: what is none, and NUL, becomes U+FFFD. The caller frees; NULL
 * when out of memory. */
char *utf8_text(const void *bytes, size_t len) MUST_USE;
