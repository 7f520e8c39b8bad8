/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest of some known words to one that was mistyped. */
#pragma once

#include <stddef.h>

/* NULL when none is near enough: more than a third of the letters would have to change. */
const char *suggest(const char *word, const char *const *known, size_t n_known);
