/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/file.h"
#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/base/utf8.h"
#include "lib/json/json.h"

/* The server takes so much text: how many entries that is depends on their names. */
enum { ENTRIES_MAX = 4096, TEXT_MAX = JSON_BYTES_MAX - 4096 };

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* The bytes of what is no UTF-8 text go beside the text made of them. */
static int set_text(json_t *entry, const char *key, const char *base64_key, const char *bytes)
{
	autofree char *text = utf8_text(bytes, strlen(bytes));
	autofree char *base64 = NULL;

	if (!text || json_object_set_new(entry, key, json_string(text)) < 0)
		return -ENOMEM;
	if (!base64_key || streq(text, bytes))
		return 0;
	base64 = base64_encode(bytes, strlen(bytes));
	return base64 && json_object_set_new(entry, base64_key, json_string(base64)) == 0 ? 0
											  : -ENOMEM;
}

/* NULL for one that has gone meanwhile. */
static json_t *entry_to_json(int dir_fd, const char *name)
{
	char target[PATH_MAX];
	struct stat st;
	json_t *entry;
	ssize_t n;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	entry = json_pack("{s:s, s:I, s:i, s:I, s:I, s:I}", "type", file_type_name(st.st_mode),
			  "size", (json_int_t)st.st_size, "mode", (int)(st.st_mode & 07777U), "uid",
			  (json_int_t)st.st_uid, "gid", (json_int_t)st.st_gid, "mtime_ns",
			  (json_int_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	if (entry && set_text(entry, "name", "name_base64", name) < 0)
		json_decref(TAKE_PTR(entry));
	n = entry && S_ISLNK(st.st_mode) ? readlinkat(dir_fd, name, target, sizeof(target) - 1)
					 : -1;
	if (n >= 0) {
		target[n] = '\0';
		(void)set_text(entry, "target", NULL, target);
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
	size_t text = 0;

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
		entry = entry_to_json(dirfd(dir), e->d_name);
		if (!entry)
			continue;
		text += json_dumpb(entry, NULL, 0, JSON_COMPACT) + 1;
		truncated = json_array_size(entries) >= ENTRIES_MAX || text > TEXT_MAX;
		if (truncated) {
			json_decref(entry);
			break;
		}
		(void)json_array_append_new(entries, entry);
	}
	agent_reply_json(stream, 200,
			 json_pack("{s:o, s:b}", "entries", entries, "truncated", truncated));
}
