/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/file.h"
#include "lib/base/cleanup.h"

enum { ENTRIES_MAX = 4096 };

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* NULL for a name that JSON can't carry (not UTF-8), or that has gone meanwhile. */
static json_t *entry_to_json(int dir_fd, const char *name)
{
	char target[PATH_MAX];
	struct stat st;
	json_t *entry;
	ssize_t n;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	entry = json_pack("{s:s, s:s, s:I, s:i, s:I, s:I, s:I}", "name", name, "type",
			  file_type_name(st.st_mode), "size", (json_int_t)st.st_size, "mode",
			  (int)(st.st_mode & 07777U), "uid", (json_int_t)st.st_uid, "gid",
			  (json_int_t)st.st_gid, "mtime_ns",
			  (json_int_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	n = entry && S_ISLNK(st.st_mode) ? readlinkat(dir_fd, name, target, sizeof(target) - 1)
					 : -1;
	if (n >= 0) {
		target[n] = '\0';
		(void)json_object_set_new(entry, "target", json_string(target));
	}
	return entry;
}

void folder_list(struct link_stream *stream, int dir_fd)
{
	CLEANUP(closedir_p)
	DIR *dir = NULL;
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	json_t *entries = json_array();
	const struct dirent *e;
	bool truncated = false;

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		close_keep_errno(copy);
		json_decref(entries);
		file_error(stream, -errno, "list", "the folder");
		return;
	}
	while ((e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		json_t *entry;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		truncated = json_array_size(entries) >= ENTRIES_MAX;
		entry = truncated ? NULL : entry_to_json(dirfd(dir), e->d_name);
		if (truncated)
			break;
		if (entry)
			(void)json_array_append_new(entries, entry);
	}
	agent_reply_json(stream, 200,
			 json_pack("{s:o, s:b}", "entries", entries, "truncated", truncated));
}
