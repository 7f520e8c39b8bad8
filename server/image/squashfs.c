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
#include "server/image/archives.h"

/* Longest that sqfstar may leave us waiting to write or to end, in seconds. */
enum { STALL_S = 300, FINISH_S = 1800 };

/*
 * Into a socket rather than a pipe: MSG_NOSIGNAL turns a sqfstar that has gone into an error of
 * this call, and MSG_DONTWAIT leaves the waiting to a poll(2) that sees a cancellation too.
 */
static la_ssize_t stream_write(struct archive *ar, void *data, const void *bytes, size_t len)
{
	struct squashfs *sq = data;

	while (!sq->discard) {
		struct pollfd p[2] = { { .fd = sq->fd, .events = POLLOUT },
				       { .fd = op_cancel_fd(sq->op), .events = POLLIN } };
		ssize_t n = send(sq->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR) {
			archive_set_error(ar, errno, "sqfstar ended early");
			return -1;
		}
		n = poll(p, 2, STALL_S * 1000);
		if (n == 0 || (n > 0 && p[1].revents)) {
			archive_set_error(ar, n ? ECANCELED : ETIMEDOUT, "%s",
					  n ? "cancelled" : "sqfstar does not go on");
			return -1;
		}
	}
	return (la_ssize_t)len;
}

/* What went wrong with the stream: sqfstar's own words when it has ended, else the archive's. */
static int stream_error(struct squashfs *sq, struct error *err)
{
	int r = op_check(sq->op, err);
	int code = archive_errno(sq->tar);

	if (r < 0)
		return r;
	if (code == EPIPE || code == ECONNRESET) {
		close_keep_errno(take_fd(&sq->fd));
		r = task_finish(&sq->running, &sq->task, sq->op, err);
		if (r < 0)
			return r;
	}
	return archives_error(err, sq->tar, "write " SQUASHFS_FILE);
}

/*
 * Freeing writes the end of the archive, which a failed stream must not have: it goes nowhere.
 * (archive_write_fail() would keep it from being written too, but then the archive's buffers are
 * not freed.)
 */
static void drop_tar(struct squashfs *sq)
{
	sq->discard = true;
	if (sq->tar)
		(void)archive_write_free(sq->tar);
	sq->tar = NULL;
}

void squashfs_abandon(struct squashfs *sq)
{
	drop_tar(sq);
	close_keep_errno(sq->fd);
	task_abandon(&sq->running);
	free(sq->path);
	*sq = (struct squashfs){ .fd = -1, .running = TASK_RUNNING_INIT };
}

/* Guests are often emulated: what costs them the least is chosen, not what is smallest. */
static void set_command(struct squashfs *sq, const char *program, int64_t epoch)
{
	const char *const argv[] = { program,     "-quiet", "-no-progress", "-root-mode", "0755",
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

static int open_tar(struct squashfs *sq, struct error *err)
{
	sq->tar = archive_write_new();
	if (!sq->tar)
		return error_errno(err, -ENOMEM, "write " SQUASHFS_FILE);
	if (archive_write_set_format_pax_restricted(sq->tar) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(sq->tar, 64 * 1024) != ARCHIVE_OK ||
	    /* sqfstar goes at the end mark: padding behind it would find nobody. */
	    archive_write_set_bytes_in_last_block(sq->tar, 1) != ARCHIVE_OK ||
	    archive_write_open(sq->tar, sq, NULL, stream_write, NULL) != ARCHIVE_OK)
		return archives_error(err, sq->tar, "write " SQUASHFS_FILE);
	return 0;
}

int squashfs_start(struct squashfs *sq, const struct staging *staging, int64_t epoch, struct op *op,
		   struct error *err)
{
	autofree char *program = proc_find_program("sqfstar");
	autoclose int theirs = -1;
	int pair[2];
	int r;

	*sq = (struct squashfs){ .op = op, .fd = -1, .running = TASK_RUNNING_INIT };
	if (!program)
		return error_set(err, ERR_UNSUPPORTED,
				 "sqfstar is missing; on Debian: apt-get install squashfs-tools");
	sq->path = staging_path(staging, SQUASHFS_FILE);
	if (!sq->path)
		return error_errno(err, -ENOMEM, "write " SQUASHFS_FILE);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "socket for sqfstar");
	sq->fd = pair[0];
	theirs = pair[1];
	set_command(sq, program, epoch);
	sq->task = TASK_INIT;
	sq->task.argv = sq->argv;
	sq->task.env = sq->env;
	sq->task.stdin_fd = theirs;
	sq->task.timeout_s = FINISH_S;
	r = task_start(&sq->task, &sq->running, err);
	sq->argv[0] = "sqfstar";
	sq->running.program = sq->argv[0];
	if (r == 0)
		r = open_tar(sq, err);
	if (r < 0)
		squashfs_abandon(sq);
	return r;
}

int squashfs_take_fd(struct squashfs *sq)
{
	drop_tar(sq);
	return take_fd(&sq->fd);
}

int squashfs_put(struct squashfs *sq, struct archive_entry *entry, const void *data, size_t len,
		 struct error *err)
{
	const char *at = data;

	if (archive_write_header(sq->tar, entry) < ARCHIVE_WARN)
		return stream_error(sq, err);
	while (len > 0) {
		la_ssize_t n = archive_write_data(sq->tar, at, len);

		if (n <= 0)
			return stream_error(sq, err);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void entry_p(struct archive_entry **entry)
{
	archive_entry_free(*entry);
}

static int put_plain(struct squashfs *sq, const char *name, mode_t mode, const char *target,
		     const void *data, size_t len, struct error *err)
{
	struct archive_entry *entry CLEANUP(entry_p)
	= archive_entry_new();

	if (!entry)
		return error_errno(err, -ENOMEM, "write " SQUASHFS_FILE);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, mode);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_size(entry, (la_int64_t)len);
	if (target)
		archive_entry_set_symlink(entry, target);
	return squashfs_put(sq, entry, data, len, err);
}

int squashfs_put_dir(struct squashfs *sq, const char *name, mode_t mode, struct error *err)
{
	return put_plain(sq, name, S_IFDIR | mode, NULL, NULL, 0, err);
}

int squashfs_put_file(struct squashfs *sq, const char *name, mode_t mode, const void *data,
		      size_t len, struct error *err)
{
	return put_plain(sq, name, S_IFREG | mode, NULL, data, len, err);
}

int squashfs_put_link(struct squashfs *sq, const char *name, const char *target, struct error *err)
{
	return put_plain(sq, name, S_IFLNK | 0777, target, NULL, 0, err);
}

int squashfs_finish(struct squashfs *sq, struct error *err)
{
	int r = 0;

	/* sqfstar has all of it when it goes at the end mark; else it ends with its reason. */
	if (sq->tar && archive_write_close(sq->tar) != ARCHIVE_OK &&
	    archive_errno(sq->tar) != EPIPE)
		return stream_error(sq, err);
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
