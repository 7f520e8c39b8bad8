/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/archives.h"

#include <string.h>

int archives_support_filters(struct archive *ar)
{
	/* ARCHIVE_WARN says that an external program would do it. */
	if (archive_read_support_filter_gzip(ar) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(ar) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(ar) != ARCHIVE_OK ||
	    archive_read_support_filter_lz4(ar) != ARCHIVE_OK)
		return ARCHIVE_FATAL;
	return ARCHIVE_OK;
}

int archives_error(struct error *err, struct archive *ar, const char *what)
{
	const char *text = archive_error_string(ar);

	if (err->code != ERR_NONE)
		return error_to_errno(err);
	return error_set(err, ERR_INVALID, "%s: %s", what, text ? text : "unknown error");
}

char *archives_clean_name(char *name)
{
	size_t len;

	while (str_has_prefix(name, "./")) {
		name += 2;
		name += strspn(name, "/");
	}
	len = strlen(name);
	while (len > 0 && name[len - 1] == '/')
		name[--len] = '\0';
	return streq(name, ".") ? name + 1 : name;
}
