/* SPDX-License-Identifier: Apache-2.0 */
/* Single files as raw bytes: described, read, removed. file_put.c writes them. */
#include "agent/service/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/service/work.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"

enum {
	READ_MAX = 32 * 1024 - LINK_FRAME_HEAD, /* with its header, one write to the link */
	NUMBER = 32,
};

/* --- what is common --- */

const char *file_type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "dir";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	default:
		return "block";
	}
}

void file_error(struct link_stream *stream, int r, const char *what, const char *path)
{
	struct error err = ERROR_INIT;

	(void)error_errno(&err, r, "%s %.300s", what, path);
	if (r == -ENOENT || r == -ENOTDIR)
		err.code = ERR_NOT_FOUND;
	else if (r == -ENAMETOOLONG)
		err.code = ERR_INVALID;
	else if (r == -EISDIR || r == -ENOTEMPTY || r == -EEXIST || r == -EINVAL || r == -EBUSY)
		err.code = ERR_STATE;
	agent_reply_error(stream, &err);
}

static int64_t time_ns(const struct timespec *when)
{
	return (int64_t)when->tv_sec * 1000000000 + when->tv_nsec;
}

/* What the kernel makes as it is read: the size in its status, 0 or a page, says nothing. */
static bool is_made_up(const char *path)
{
	static const uint32_t kinds[] = { PROC_SUPER_MAGIC,  SYSFS_MAGIC,      DEBUGFS_MAGIC,
					  TRACEFS_MAGIC,     SECURITYFS_MAGIC, CGROUP2_SUPER_MAGIC,
					  CGROUP_SUPER_MAGIC };
	struct statfs fs;

	for (size_t i = 0; statfs(path, &fs) == 0 && i < ARRAY_SIZE(kinds); i++)
		if ((uint32_t)fs.f_type == kinds[i])
			return true;
	return false;
}

void file_etag(const struct stat *st, char ret_etag[FILE_HEADER_TEXT])
{
	/* Programs can put the time of the last change of the bytes back, but not the last one. */
	(void)snprintf(ret_etag, FILE_HEADER_TEXT, "%llx-%llx-%llx-%llx",
		       (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
		       (unsigned long long)time_ns(&st->st_mtim),
		       (unsigned long long)time_ns(&st->st_ctim));
}

size_t file_describe(const struct stat *st, bool made_up, struct link_header headers[FILE_HEADERS],
		     char text[FILE_HEADERS][FILE_HEADER_TEXT])
{
	static const char *const names[] = { "file-type",     "file-mode", "file-uid", "file-gid",
					     "file-mtime-ns", "file-size", "etag" };
	size_t n = ARRAY_SIZE(names) - (made_up ? 2 : 0);
	char etag[FILE_HEADER_TEXT];

	(void)snprintf(text[0], sizeof(text[0]), "%s", file_type_name(st->st_mode));
	(void)snprintf(text[1], sizeof(text[1]), "%04o", st->st_mode & 07777U);
	(void)snprintf(text[2], sizeof(text[2]), "%u", st->st_uid);
	(void)snprintf(text[3], sizeof(text[3]), "%u", st->st_gid);
	(void)snprintf(text[4], sizeof(text[4]), "%lld", (long long)time_ns(&st->st_mtim));
	(void)snprintf(text[5], sizeof(text[5]), "%lld", (long long)st->st_size);
	file_etag(st, etag);
	(void)snprintf(text[6], sizeof(text[6]), "\"%.77s\"", etag);
	for (size_t i = 0; i < n; i++)
		headers[i] = (struct link_header){ names[i], text[i] };
	return n;
}

/* --- read --- */

struct reading {
	int fd;
	uint64_t at;
	uint64_t left; /* of what has not been read; UINT64_MAX: all there is */
	uint8_t *first;
	size_t len; /* bytes at hand */
	uint8_t head[LINK_FRAME_HEAD];
	uint8_t bytes[READ_MAX];
};

static ssize_t read_lend(void *data, uint8_t **ret_bytes, bool *ret_end)
{
	struct reading *reading = data;

	if (reading->len == 0 && reading->left > 0) {
		size_t max = reading->left < READ_MAX ? (size_t)reading->left : READ_MAX;
		ssize_t n;

		do
			n = pread(reading->fd, reading->bytes, max, (off_t)reading->at);
		while (n < 0 && errno == EINTR);
		/* Shorter than announced: the reader has to know. */
		if (n < 0 || (n == 0 && reading->left != UINT64_MAX))
			return -1;
		reading->first = reading->bytes;
		reading->len = (size_t)n;
		reading->at += (uint64_t)n;
		if (n == 0)
			reading->left = 0;
		else if (reading->left != UINT64_MAX)
			reading->left -= (uint64_t)n;
	}
	*ret_bytes = reading->first;
	*ret_end = reading->left == 0;
	return (ssize_t)reading->len;
}

static void read_taken(void *data, size_t len)
{
	struct reading *reading = data;

	reading->first += len;
	reading->len -= len;
}

static void read_closed(void *data, const char *why)
{
	struct reading *reading = data;

	(void)why;
	close_keep_errno(reading->fd);
	free(reading);
}

static const struct link_stream_ops read_ops = { .lend = read_lend,
						 .taken = read_taken,
						 .closed = read_closed };

/* --- by a thread --- */

struct span {
	uint64_t at;
	uint64_t left;
};

static int read_span(struct work_side *side, const void *data, struct error *err)
{
	struct span span = *(const struct span *)data;

	while (span.left > 0) {
		uint8_t *room;
		ssize_t n = work_room(side, &room);

		if (n > 0)
			n = pread(side->fd, room,
				  (uint64_t)n < span.left ? (size_t)n : (size_t)span.left,
				  (off_t)span.at);
		if (n < 0 && errno == EINTR)
			continue;
		/* Shorter than announced: the reader has to know. */
		if (n <= 0)
			return error_set(err, ERR_GUEST, "the file can't be read any more");
		(void)work_filled(side, (size_t)n);
		span.at += (uint64_t)n;
		span.left -= (uint64_t)n;
	}
	return 0;
}

/* Many bytes: reading them from a slow disk must not stop the agent's loop. */
static void send_by_thread(struct agent *agent, struct link_stream *stream, int fd,
			   const struct link_header *headers, size_t n, const struct span *span)
{
	const struct work_spec spec = {
		.fd = fd, .run = read_span, .run_data = span, .run_size = sizeof(*span)
	};
	struct error err = ERROR_INIT;
	struct work *work;

	if (work_start(agent, stream, &spec, &work, &err) < 0) {
		agent_reply_error(stream, &err);
	} else if (link_stream_reply(stream, 200, headers, n, true) < 0) {
		work_stop(work);
		link_stream_reset(stream);
	}
}

static void send_from(struct agent *agent, struct link_stream *stream, int fd,
		      const struct link_header *headers, size_t n, const struct span *span)
{
	struct reading *reading;

	if (span->left != UINT64_MAX && span->left > FILE_OWN_MAX) {
		send_by_thread(agent, stream, fd, headers, n, span);
		close_keep_errno(fd);
		return;
	}
	reading = calloc(1, sizeof(*reading));
	if (!reading || link_stream_reply(stream, 200, headers, n, true) < 0) {
		free(reading);
		close_keep_errno(fd);
		link_stream_reset(stream);
		return;
	}
	reading->fd = fd;
	reading->at = span->at;
	reading->left = span->left;
	reading->first = reading->bytes;
	link_stream_set_ops(stream, &read_ops, reading);
}

/* All of it, whatever range was asked for. */
static void send_made_up(struct agent *agent, struct link_stream *stream, int fd,
			 const struct stat *st)
{
	char text[FILE_HEADERS][FILE_HEADER_TEXT];
	struct link_header headers[FILE_HEADERS];
	size_t n = file_describe(st, true, headers, text);

	send_from(agent, stream, fd, headers, n, &(struct span){ .left = UINT64_MAX });
}

/* `last` other than UINT64_MAX: so many bytes before the end, whatever `offset` says. */
static void send_file(struct agent *agent, struct link_stream *stream, int fd,
		      const struct stat *st, uint64_t offset, uint64_t length, uint64_t last)
{
	uint64_t size = (uint64_t)st->st_size;
	char text[FILE_HEADERS][FILE_HEADER_TEXT];
	struct link_header headers[FILE_HEADERS];
	char content_length[NUMBER];
	size_t n = file_describe(st, false, headers, text);

	if (last != UINT64_MAX)
		offset = last < size ? size - last : 0;
	offset = offset < size ? offset : size;
	length = length < size - offset ? length : size - offset;
	(void)snprintf(content_length, sizeof(content_length), "%llu", (unsigned long long)length);
	headers[n++] = (struct link_header){ "content-length", content_length };
	send_from(agent, stream, fd, headers, n, &(struct span){ offset, length });
}

void file_get(struct agent *agent, struct link_stream *stream)
{
	char path[PATH_MAX];
	autoclose int fd = -1;
	uint64_t offset;
	uint64_t length;
	uint64_t last;
	struct stat st;
	int r = agent_request_path(stream, FILE_PREFIX, path, sizeof(path));

	if (r == 0)
		r = agent_request_number(stream, "offset", 10, 0, &offset);
	if (r == 0)
		r = agent_request_number(stream, "last", 10, UINT64_MAX, &last);
	if (r == 0)
		r = agent_request_number(stream, "length", 10, UINT64_MAX, &length);
	if (r < 0) {
		file_error(stream, r, "read", "the request");
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		file_error(stream, -errno, "open", path);
	else if (S_ISDIR(st.st_mode))
		folder_list(stream, fd);
	else if (!S_ISREG(st.st_mode))
		file_error(stream, -EINVAL, "read what is no regular file:", path);
	else if (is_made_up(path))
		send_made_up(agent, stream, take_fd(&fd), &st);
	else
		send_file(agent, stream, take_fd(&fd), &st, offset, length, last);
}

void file_head(struct agent *agent, struct link_stream *stream)
{
	char text[FILE_HEADERS][FILE_HEADER_TEXT];
	struct link_header headers[FILE_HEADERS];
	char path[PATH_MAX];
	uint64_t nofollow;
	struct stat st;
	int r = agent_request_path(stream, FILE_PREFIX, path, sizeof(path));

	(void)agent;
	if (r == 0)
		r = agent_request_number(stream, "nofollow", 10, 0, &nofollow);
	if (r == 0 && fstatat(AT_FDCWD, path, &st, nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		r = -errno;
	if (r == 0)
		r = link_stream_reply(
			stream, 200, headers,
			file_describe(&st, S_ISREG(st.st_mode) && is_made_up(path), headers, text),
			false);
	else if (r == -ENOENT || r == -ENOTDIR)
		r = link_stream_reply(stream, 404, NULL, 0, false);
	else
		r = link_stream_reply(stream, 400, NULL, 0, false);
	if (r < 0)
		link_stream_reset(stream);
}

/* --- remove --- */

static int remove_tree(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	autoclose int fd = -1;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash[1] == '\0' || streq(slash + 1, "..") || streq(slash + 1, "."))
		return -EINVAL;
	*slash = '\0';
	fd = open(dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : remove_tree_at(fd, path + (slash - dir) + 1);
}

void file_delete(struct agent *agent, struct link_stream *stream)
{
	char path[PATH_MAX];
	uint64_t recursive;
	struct error err = ERROR_INIT;
	struct stat st;
	int r = agent_request_path(stream, FILE_PREFIX, path, sizeof(path));

	(void)agent;
	if (r == 0)
		r = agent_request_number(stream, "recursive", 10, 0, &recursive);
	if (r == 0 && file_check_condition(stream, path, false, &err) < 0) {
		agent_reply_error(stream, &err);
		return;
	}
	if (r == 0 && lstat(path, &st) < 0)
		r = -errno;
	else if (r == 0 && recursive && S_ISDIR(st.st_mode))
		r = remove_tree(path);
	else if (r == 0 && S_ISDIR(st.st_mode))
		r = rmdir(path) < 0 ? -errno : 0;
	else if (r == 0)
		r = unlink(path) < 0 ? -errno : 0;
	if (r < 0)
		file_error(stream, r, "remove", path);
	else
		agent_reply_json(stream, 200, json_object());
}
