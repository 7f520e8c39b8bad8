/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets as text: made, and compared in a time that does not tell where they differ. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* `bytes` of randomness, at most 64, as 2 * bytes hexadecimal digits and a NUL. */
void secret_make(char *text, size_t bytes);
/* Both have at least `len` bytes. */
bool secret_same(const char *a, const char *b, size_t len);
