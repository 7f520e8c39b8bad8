/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single files as raw bytes, written in place of the old one at once. The first bytes are written
 * here; where more come, a process goes on with them, as a slow disk would stop the agent's loop,
 * and with it all that the guest is asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/file.h"
#include "agent/service/work.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"

enum { TEMPORARY_MAX = 32 };

struct writing {
	struct link_stream *stream;
	int fd;
	bool in_place;
	bool set_mode;
	mode_t mode;
	uid_t uid; /* (uid_t)-1: leave */
	gid_t gid;
	int error; /* first negative errno; the rest of the body is dropped then */
	struct agent *agent;
	uint64_t written; /* without a process, up to FILE_OWN_MAX */
	char path[PATH_MAX];
	char temporary[PATH_MAX + TEMPORARY_MAX];
};

static void writing_free(struct writing *w)
{
	if (w->fd >= 0 && !w->in_place)
		(void)unlink(w->temporary);
	close_keep_errno(w->fd);
	free(w);
}

static int write_finish(struct writing *w, struct stat *ret_st)
{
	if (w->error < 0)
		return w->error;
	if ((w->uid != (uid_t)-1 || w->gid != (gid_t)-1) && fchown(w->fd, w->uid, w->gid) < 0)
		return -errno;
	if (w->set_mode && fchmod(w->fd, w->mode) < 0)
		return -errno;
	if (!w->in_place && rename(w->temporary, w->path) < 0)
		return -errno;
	w->in_place = true; /* nothing to remove any more */
	return fstat(w->fd, ret_st) < 0 ? -errno : 0;
}

/* Replies, and is done with it. */
static void write_end(void *data)
{
	struct writing *w = data;
	struct link_stream *stream = w->stream;
	char text[FILE_HEADERS][FILE_HEADER_TEXT];
	struct link_header headers[FILE_HEADERS];
	struct stat st;
	struct error err = ERROR_INIT;
	int r = w->in_place || w->error < 0 ? 0 : file_check_condition(stream, w->path, true, &err);

	r = r < 0 ? r : write_finish(w, &st);
	if (err.code != ERR_NONE)
		agent_reply_error(stream, &err);
	else if (r < 0)
		file_error(stream, r, "write", w->path);
	else if (link_stream_reply(stream, 200, headers, file_describe(&st, false, headers, text),
				   false) < 0)
		link_stream_reset(stream);
	else
		link_stream_set_ops(stream, NULL, NULL);
	writing_free(w);
}

/* --- by a process --- */

static int write_all_given(struct work_side *side, const void *data, struct error *err)
{
	const uint8_t *bytes;
	ssize_t n;
	int r = 0;

	(void)data;
	while (r == 0 && (n = work_next(side, &bytes)) != 0)
		r = n < 0 ? (int)n : write_all(side->fd, bytes, (size_t)n);
	return r < 0 ? error_errno(err, r, "write") : 0;
}

static void on_work_ended(void *data, struct link_stream *stream, const struct error *err)
{
	struct writing *w = data;

	if (!stream) {
		writing_free(w);
		return;
	}
	if (err->code != ERR_NONE)
		w->error = err->sys > 0 ? -err->sys : -EIO;
	write_end(w);
}

/* False where the stream has to wait. */
static bool hand_over(struct writing *w, const uint8_t *bytes, size_t len)
{
	const struct work_spec spec = { .takes = true,
					.fd = w->fd,
					.run = write_all_given,
					.ended = on_work_ended,
					.data = w };
	struct error err = ERROR_INIT;
	struct work *work;

	if (work_start(w->agent, w->stream, &spec, &work, &err) == 0)
		return work_give(work, bytes, len);
	agent_reply_error(w->stream, &err); /* what still comes is dropped */
	writing_free(w);
	return true;
}

static bool write_data(void *data, const uint8_t *bytes, size_t len)
{
	struct writing *w = data;

	if (w->error < 0)
		return true;
	if (w->written + len > FILE_OWN_MAX)
		return hand_over(w, bytes, len);
	w->error = write_all(w->fd, bytes, len);
	w->written += len;
	return true;
}

static void write_closed(void *data, const char *why)
{
	(void)why;
	writing_free(data);
}

static const struct link_stream_ops write_ops = { .data = write_data,
						  .end = write_end,
						  .closed = write_closed };

/* --- the request --- */

static int make_parents(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	fd = open_dir_create(dir, 0755);
	close_keep_errno(fd);
	return fd < 0 ? fd : 0;
}

/* A new file beside the old one, with the old one's owner and mode unless others are asked for. */
static int open_beside(struct writing *w)
{
	static unsigned int counter;
	autofree char *real = realpath(w->path, NULL);
	struct stat st;

	if (real && strlen(real) < sizeof(w->path))
		memcpy(w->path, real, strlen(real) + 1);
	if (stat(w->path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
		if (!w->set_mode)
			w->mode = st.st_mode & 07777U;
		w->set_mode = true;
		w->uid = w->uid == (uid_t)-1 ? st.st_uid : w->uid;
		w->gid = w->gid == (gid_t)-1 ? st.st_gid : w->gid;
	}
	/* Not longer than the longest name: that of the file may be. */
	do {
		(void)snprintf(w->temporary, sizeof(w->temporary), "%.*s/.banger-%u",
			       (int)(strrchr(w->path, '/') - w->path), w->path, ++counter);
		w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			     0644);
	} while (w->fd < 0 && errno == EEXIST);
	return w->fd < 0 ? -errno : 0;
}

static int open_in_place(struct writing *w, uint64_t offset)
{
	struct stat st;

	w->in_place = true;
	w->fd = open(w->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return lseek(w->fd, (off_t)offset, SEEK_SET) < 0 ? -errno : 0;
}

/* What is wrong with a condition is in *err, the rest in the errno alone. */
static int writing_open(struct link_stream *stream, struct writing *w, struct error *err)
{
	uint64_t mode;
	uint64_t uid;
	uint64_t gid;
	uint64_t parents;
	uint64_t offset;
	int r = agent_request_path(stream, FILE_PREFIX, w->path, sizeof(w->path));

	if (r < 0 || agent_request_number(stream, "mode", 8, UINT64_MAX, &mode) < 0 ||
	    agent_request_number(stream, "uid", 10, UINT32_MAX, &uid) < 0 ||
	    agent_request_number(stream, "gid", 10, UINT32_MAX, &gid) < 0 ||
	    agent_request_number(stream, "parents", 10, 0, &parents) < 0 ||
	    agent_request_number(stream, "offset", 10, UINT64_MAX, &offset) < 0)
		return r < 0 ? r : -EINVAL;
	if ((mode != UINT64_MAX && mode > 07777) || uid > UINT32_MAX || gid > UINT32_MAX ||
	    (offset != UINT64_MAX && offset > INT64_MAX))
		return -EINVAL;
	w->set_mode = mode != UINT64_MAX;
	w->mode = (mode_t)(mode & 07777);
	w->uid = (uid_t)uid;
	w->gid = (gid_t)gid;
	r = file_check_condition(stream, w->path, true, err);
	if (r < 0)
		return r;
	r = parents ? make_parents(w->path) : 0;
	if (r < 0)
		return r;
	return offset == UINT64_MAX ? open_beside(w) : open_in_place(w, offset);
}

void file_put(struct agent *agent, struct link_stream *stream)
{
	struct writing *w = calloc(1, sizeof(*w));
	struct error err = ERROR_INIT;
	int r;

	if (!w) {
		link_stream_reset(stream);
		return;
	}
	w->agent = agent;
	w->stream = stream;
	w->fd = -1;
	r = writing_open(stream, w, &err);
	if (r < 0) {
		if (err.code != ERR_NONE)
			agent_reply_error(stream, &err);
		else
			file_error(stream, r, "write", w->path);
		writing_free(w);
		return;
	}
	link_stream_set_ops(stream, &write_ops, w);
}
