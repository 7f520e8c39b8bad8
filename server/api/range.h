/* SPDX-License-Identifier: Apache-2.0 */
/* The Range header (RFC 9110 section 14.2). */
#pragma once

#include "server/guest/guest.h"

/*
 * "bytes=0-99", "bytes=100-" or "bytes=-10". False, and *ret_range untouched, for what that allows
 * to ignore: no header, several ranges, other units, what is not well-formed.
 */
bool api_range_parse(const char *header, struct guest_range *ret_range);

/* Where the range lies in a file of `size` bytes; false when no byte of it does. */
bool api_range_place(const struct guest_range *range, uint64_t size, uint64_t *ret_from,
		     uint64_t *ret_length);
