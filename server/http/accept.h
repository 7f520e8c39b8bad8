/* SPDX-License-Identifier: Apache-2.0 */
/* Content negotiation: the Accept header (RFC 9110 section 12.5.1) against what is offered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Index of the offered type that the client likes best; of equals the first. NULL and "" accept
 * all. -1 where the header excludes every one.
 */
int accept_best(const char *accept, const char *const *offered, size_t n);

/* True when Accept-Encoding names the coding with a weight above 0. */
bool accept_encoding(const char *accept, const char *coding);
