/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/squashfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/tar/header.h"
#include "lib/tar/tar.h"

/* Longest that sqfstar may leave us waiting to write or to end, in seconds. */
enum { STALL_S = 300, FINISH_S = 1800 };

/*
 * Into a socket rather than a pipe: MSG_NOSIGNAL turns a sqfstar that has gone into an error of
 * this call, and MSG_DONTWAIT leaves the waiting to a poll(2) that sees a cancellation too.
 */
static int write_stream(struct squashfs *sq, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		struct pollfd p[2] = { { .fd = sq->fd, .events = POLLOUT },
				       { .fd = op_cancel_fd(sq->op), .events = POLLIN } };
		ssize_t n = send(sq->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int ready;

		if (n >= 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		ready = poll(p, 2, STALL_S * 1000);
		if (ready == 0)
			return -ETIMEDOUT;
		if (ready > 0 && p[1].revents)
			return -ECANCELED;
	}
	return 0;
}

/* What went wrong with the stream: sqfstar's own words when it has ended, else ours. */
static int stream_error(struct squashfs *sq, int code, struct error *err)
{
	int r = op_check(sq->op, err);

	if (r < 0)
		return r;
	if (code == -EPIPE || code == -ECONNRESET) {
		close_keep_errno(take_fd(&sq->fd));
		r = task_finish(&sq->running, &sq->task, sq->op, err);
		return r < 0 ? r
			     : error_set(err, ERR_INTERNAL, "sqfstar ended before the stream did");
	}
	if (code == -ETIMEDOUT)
		return error_set(err, ERR_TIMEOUT, "sqfstar does not go on");
	return error_errno(err, code, "write " SQUASHFS_FILE);
}

static int put(struct squashfs *sq, const void *bytes, size_t len, struct error *err)
{
	int r = write_stream(sq, bytes, len);

	return r < 0 ? stream_error(sq, r, err) : 0;
}

void squashfs_abandon(struct squashfs *sq)
{
	close_keep_errno(sq->fd);
	close_keep_errno(sq->theirs);
	task_abandon(&sq->running);
	free(sq->path);
	free(sq->program);
	*sq = SQUASHFS_INIT;
}

/* Guests are often emulated: what costs them the least is chosen, not what is smallest. */
static void set_command(struct squashfs *sq, int64_t epoch)
{
	const char *const argv[] = { sq->program, "-quiet", "-no-progress", "-root-mode", "0755",
				     "-root-uid", "0",      "-root-gid",    "0",          "-comp",
				     "lz4",       "-mem",   "64M",          sq->path,     NULL };

	static_assert(sizeof(argv) <= sizeof(sq->argv), "the argument vector fits");
	memcpy(sq->argv, argv, sizeof(argv));
	/* The program's own option for the time of the root folder has no effect; this has. */
	(void)snprintf(sq->epoch, sizeof(sq->epoch), "SOURCE_DATE_EPOCH=%" PRId64, epoch);
	sq->env[0] = "PATH=/usr/bin:/bin";
	sq->env[1] = "LANG=C.UTF-8";
	sq->env[2] = epoch == SQUASHFS_EPOCH_NONE ? NULL : sq->epoch;
}

int squashfs_open(struct squashfs *sq, struct op *op, struct error *err)
{
	int pair[2];

	*sq = SQUASHFS_INIT;
	sq->op = op;
	sq->program = proc_find_program("sqfstar");
	if (!sq->program)
		return error_set(err, ERR_UNSUPPORTED,
				 "sqfstar is missing; on Debian: apt-get install squashfs-tools");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "socket for sqfstar");
	sq->fd = pair[0];
	sq->theirs = pair[1];
	return 0;
}

int squashfs_run(struct squashfs *sq, const struct staging *staging, int64_t epoch,
		 struct error *err)
{
	int r;

	sq->path = staging_path(staging, SQUASHFS_FILE);
	if (!sq->path)
		return error_errno(err, -ENOMEM, "write " SQUASHFS_FILE);
	set_command(sq, epoch);
	sq->task = TASK_INIT;
	sq->task.argv = sq->argv;
	sq->task.env = sq->env;
	sq->task.stdin_fd = sq->theirs;
	sq->task.timeout_s = FINISH_S;
	r = task_start(&sq->task, &sq->running, err);
	sq->running.program = sq->argv[0] = "sqfstar";
	close_keep_errno(take_fd(&sq->theirs));
	return r;
}

int squashfs_start(struct squashfs *sq, const struct staging *staging, int64_t epoch, struct op *op,
		   struct error *err)
{
	int r = squashfs_open(sq, op, err);

	if (r == 0)
		r = squashfs_run(sq, staging, epoch, err);
	if (r < 0)
		squashfs_abandon(sq);
	return r;
}

int squashfs_take_fd(struct squashfs *sq)
{
	return take_fd(&sq->fd);
}

static int put_entry(struct squashfs *sq, const char *name, char type, mode_t mode,
		     const char *target, const void *data, size_t len, struct error *err)
{
	static const char zeros[TAR_BLOCK];
	struct tar_header header = { .type = type };
	size_t name_len = strlen(name), target_len = strlen(target);
	int r;

	if (name_len > sizeof(header.name) || target_len > sizeof(header.link))
		return error_set(err, ERR_INVALID, "%.200s: a name of more than %zu bytes", name,
				 sizeof(header.name));
	memcpy(header.name, name, name_len);
	memcpy(header.link, target, target_len);
	memcpy(header.magic, "ustar", 6);
	memcpy(header.version, "00", 2);
	(void)tar_put_number(header.mode, sizeof(header.mode), mode);
	(void)tar_put_number(header.uid, sizeof(header.uid), 0);
	(void)tar_put_number(header.gid, sizeof(header.gid), 0);
	(void)tar_put_number(header.mtime, sizeof(header.mtime), 0);
	if (!tar_put_number(header.size, sizeof(header.size), len))
		return error_set(err, ERR_TOO_LARGE, "%.200s: %zu bytes", name, len);
	tar_set_checksum(&header);
	r = put(sq, &header, sizeof(header), err);
	if (r == 0)
		r = put(sq, data, len, err);
	return r < 0 ? r : put(sq, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK, err);
}

int squashfs_put_dir(struct squashfs *sq, const char *name, mode_t mode, struct error *err)
{
	return put_entry(sq, name, '5', mode, "", NULL, 0, err);
}

int squashfs_put_file(struct squashfs *sq, const char *name, mode_t mode, const void *data,
		      size_t len, struct error *err)
{
	return put_entry(sq, name, '0', mode, "", data, len, err);
}

int squashfs_put_link(struct squashfs *sq, const char *name, const char *target, struct error *err)
{
	return put_entry(sq, name, '2', 0777, target, NULL, 0, err);
}

int squashfs_finish(struct squashfs *sq, struct error *err)
{
	static const char end[2 * TAR_BLOCK];
	int r = sq->fd < 0 ? 0 : write_stream(sq, end, sizeof(end));

	/* sqfstar has all of it when it goes at the end mark; else it ends with its reason. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return stream_error(sq, r, err);
	close_keep_errno(take_fd(&sq->fd));
	r = task_finish(&sq->running, &sq->task, sq->op, err);
	/* Its last words for a disk that is full, or broken. */
	if (r < 0 && strstr(err->msg, "Failed to write to output")) {
		*err = ERROR_INIT;
		r = error_set(err, ERR_NO_ROOM, "sqfstar can't write %.300s: is the disk full?",
			      sq->path);
	}
	squashfs_abandon(sq);
	return r;
}
