/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/patch_reader.h"

#include "lib/base/cleanup.h"
#include "lib/base/utf8.h"

enum { SAID_MAX = 1024 };

void patch_reader_init(struct patch_reader *reader)
{
	*reader = (struct patch_reader){ .commit = { .len = 0 } };
	buf_init(&reader->said, SAID_MAX);
}

void patch_reader_done(struct patch_reader *reader)
{
	buf_done(&reader->said);
}

size_t patch_reader_take(struct patch_reader *reader, bool is_stderr, const void *bytes, size_t len)
{
	size_t room = SAID_MAX - buf_len(&reader->said);

	if (!is_stderr)
		return len - commit_line_feed(&reader->commit, bytes, len);
	(void)!buf_append(&reader->said, bytes, len < room ? len : room);
	return 0;
}

int patch_reader_end(const struct patch_reader *reader, const struct guest_exec_end *end,
		     const char *path, const char *base, struct error *err)
{
	autofree char *said = NULL;

	if (end->error.code != ERR_NONE) {
		*err = end->error;
		return error_to_errno(err);
	}
	if (end->exited && end->exit_code == 0 && reader->commit.state == COMMIT_LINE_DONE)
		return 0;
	if (end->timed_out)
		return error_set(err, ERR_TIMEOUT, "git took too long in %.200s", path);
	if (end->exit_code == PATCH_NO_FOLDER)
		return error_set(
			err, ERR_STATE,
			"there is no folder %.200s in the guest; put a workspace there first",
			path);
	if (end->exit_code == PATCH_NO_GIT)
		return error_set(
			err, ERR_STATE,
			"git is not in the guest; install it there, or use an image that has it");
	if (end->exit_code == PATCH_NO_REPOSITORY)
		return error_set(err, ERR_STATE, "%.200s is no git repository in the guest", path);
	if (end->exit_code == PATCH_NO_COMMIT)
		return error_set(err, ERR_INVALID,
				 "?base_commit: there is no commit '%.100s' in %.200s", base, path);
	said = utf8_text(buf_len(&reader->said) ? buf_bytes(&reader->said) : (const uint8_t *)"",
			 buf_len(&reader->said));
	return error_set(err, ERR_GUEST, "git failed in %.100s: %.300s", path, said ? said : "");
}
