/* SPDX-License-Identifier: Apache-2.0 */
/* Small words around libarchive: owning locals, our choice of filters, errors. */
#pragma once

#include <archive.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

static inline void archives_read_p(struct archive **ar)
{
	int saved = errno;

	if (*ar)
		(void)archive_read_free(*ar);
	errno = saved;
}

/* Compression formats that we read; never those that libarchive hands to another program. Returns
 * ARCHIVE_OK, or ARCHIVE_FATAL when one was not built in. */
int archives_support_filters(struct archive *ar) MUST_USE;

/* Sets `err` from the archive's last error: "<what>: <reason>". An error that one of our own
 * callbacks has set in `err` is left as it is. Returns the negative errno. */
int archives_error(struct error *err, struct archive *ar, const char *what);

/* The member's name without leading "./" and trailing '/'; "" for the root. `name` is changed. */
char *archives_clean_name(char *name);
