/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of files that are bound to a version (RFC 9110 section 13). */
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/service/file.h"
#include "lib/base/etag.h"

int file_check_condition(const struct link_stream *stream, const char *path, bool follow,
			 struct error *err)
{
	int flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;

	const char *match = link_stream_header(stream, "if-match");
	const char *none_match = link_stream_header(stream, "if-none-match");
	char etag[FILE_HEADER_TEXT];
	struct stat st;

	if (!match && !none_match)
		return 0;
	/* A link that leads nowhere has no version to follow, but is there. */
	if (fstatat(AT_FDCWD, path, &st, flags) < 0 &&
	    (match || fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0))
		return match ? error_set(err, ERR_PRECONDITION,
					 "%.300s is not there, and If-Match is for what is", path)
			     : 0;
	file_etag(&st, etag);
	if (match && !etag_list_has(match, etag, false))
		return error_set(err, ERR_PRECONDITION,
				 "%.300s has changed: its version is \"%s\", not that of If-Match",
				 path, etag);
	if (none_match && etag_list_has(none_match, etag, true))
		return error_set(err, ERR_PRECONDITION,
				 "%.300s is there, as version \"%s\", which If-None-Match excludes",
				 path, etag);
	return 0;
}
