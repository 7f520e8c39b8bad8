/* SPDX-License-Identifier: Apache-2.0 */
/* Entity tags as the headers of conditional requests have them (RFC 9110 section 13). */
#pragma once

#include <stdbool.h>

/* One tag or several, with ',' between, or "*" alone. */
bool etag_list_valid(const char *list);

/*
 * True when the list, as of If-Match or If-None-Match, has this tag (given without its quotes), or
 * is "*"; false for one that is not valid. With `weak`, tags that are marked as weak count too.
 */
bool etag_list_has(const char *list, const char *etag, bool weak);
