/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as tar streams. The packing and unpacking is done by a process of its own, which may block,
 * run out of disk or be fed nonsense without holding up anybody; bytes go through a ring.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/service/file.h"
#include "agent/service/ring.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"
#include "lib/tar/tar.h"

#define TAR_PREFIX "/tar/"

enum {
	/* The ring is told of as much at once, so that both sides find something to do. */
	PIECE = 128 * 1024,
	/* With less room the peer has to wait. */
	ROOM_MIN = RING_SIZE / 4,
};
static_assert((int)ROOM_MIN >= (int)LINK_DATA_MAX,
	      "what is given to a reader that does not wait has room");

struct tree {
	struct agent *agent;
	struct link_stream *stream; /* NULL: gone */
	bool unpack;
	bool paused; /* the stream is, until there is room */
	bool reaped;
	int status;
	pid_t pid;
	int why_fd; /* the process says here why it failed */
	struct ring ring;
	struct loop_fd *source; /* of the ring's bell */
};

static void tree_free(struct tree *t)
{
	loop_fd_remove(t->source);
	ring_done(&t->ring);
	close_keep_errno(t->why_fd);
	free(t);
}

static void reply_failure(struct tree *t)
{
	struct error err = ERROR_INIT;
	ssize_t n = read(t->why_fd, &err, sizeof(err));

	if (n != (ssize_t)sizeof(err))
		(void)error_set(&err, ERR_GUEST, "the process for the archive failed");
	err.msg[sizeof(err.msg) - 1] = '\0';
	agent_reply_error(t->stream, &err);
}

static void resume(struct tree *t)
{
	if (!t->paused)
		return;
	t->paused = false;
	link_stream_resume(t->stream);
}

static void on_process_ended(void *data, int status)
{
	struct tree *t = data;

	t->reaped = true;
	t->status = status;
	if (!t->stream) {
		tree_free(t);
		return;
	}
	if (!t->unpack && status == 0) {
		link_stream_lent(t->stream); /* up to the end; freed when the stream is closed */
		return;
	}
	if (!t->unpack) {
		link_stream_reset(t->stream);
	} else {
		resume(t); /* what still comes is dropped */
		if (status == 0)
			agent_reply_json(t->stream, 200, json_object());
		else
			reply_failure(t);
	}
	tree_free(t);
}

/* The process has taken, or made, some. */
static void on_bell(void *data, uint32_t events)
{
	struct tree *t = data;

	(void)events;
	if (!ring_answer(&t->ring))
		loop_fd_remove(TAKE_PTR(t->source));
	if (!t->stream)
		return;
	if (!t->unpack)
		link_stream_lent(t->stream);
	else if (t->paused && !ring_want_room(&t->ring, ROOM_MIN))
		resume(t);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct tree *t = data;

	while (len > 0 && !t->reaped) {
		uint8_t *space;
		size_t n = ring_space(&t->ring, &space);

		n = n < len ? n : len;
		assert(n > 0);
		memcpy(space, bytes, n);
		ring_written(&t->ring, n);
		bytes += n;
		len -= n;
	}
	t->paused =
		!t->reaped && ring_room(&t->ring) < ROOM_MIN && ring_want_room(&t->ring, ROOM_MIN);
	return !t->paused;
}

static void on_end(void *data)
{
	struct tree *t = data;

	if (t->unpack)
		ring_end(&t->ring);
}

static ssize_t on_lend(void *data, uint8_t **ret_bytes, bool *ret_end)
{
	struct tree *t = data;
	size_t n = ring_bytes(&t->ring, ret_bytes);

	if (n == 0 && !ring_want_bytes(&t->ring))
		n = ring_bytes(&t->ring, ret_bytes);
	*ret_end = n == 0 && ring_is_over(&t->ring);
	return (ssize_t)n;
}

static void on_taken(void *data, size_t len)
{
	struct tree *t = data;

	ring_read(&t->ring, len);
}

static void on_closed(void *data, const char *why)
{
	struct tree *t = data;

	(void)why;
	t->stream = NULL;
	if (t->reaped)
		tree_free(t);
	else
		(void)kill(t->pid, SIGKILL);
}

static const struct link_stream_ops tree_ops = {
	.data = on_data, .end = on_end, .lend = on_lend, .taken = on_taken, .closed = on_closed
};

/* --- the process --- */

struct job {
	bool unpack;
	bool root; /* the image's way: see tar_write_root() */
	int dir_fd;
	const char *name; /* of a single file; NULL: all of the folder */
	int why_fd;
	struct ring ring;
	size_t lent; /* bytes of the ring that the unpacking has at hand */
};

static ssize_t job_next(void *data, const uint8_t **ret_bytes)
{
	struct job *job = data;
	uint8_t *bytes;
	size_t n;
	int r;

	ring_read(&job->ring, job->lent);
	job->lent = 0;
	r = ring_await_bytes(&job->ring);
	if (r < 0)
		return r;
	n = ring_bytes(&job->ring, &bytes);
	*ret_bytes = bytes;
	job->lent = n < PIECE ? n : PIECE;
	return (ssize_t)job->lent;
}

static ssize_t job_room(void *data, uint8_t **ret_room)
{
	struct job *job = data;
	int r = ring_await_room(&job->ring);
	size_t n;

	if (r < 0)
		return r;
	n = ring_space(&job->ring, ret_room);
	return (ssize_t)(n < PIECE ? n : PIECE);
}

static int job_filled(void *data, size_t len)
{
	struct job *job = data;

	ring_written(&job->ring, len);
	return 0;
}

__attribute__((noreturn)) static void run_job(struct job *job)
{
	const struct tar_source source = { .next = job_next, .data = job };
	const struct tar_sink sink = { .room = job_room, .filled = job_filled, .data = job };
	struct error err = ERROR_INIT;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(0);
	if (job->unpack)
		r = tar_read_from(&source, job->dir_fd, TAR_KEEP_OWNER, &err);
	else
		r = tar_write_into(&sink, job->dir_fd, job->name, job->root, &err);
	if (r < 0)
		(void)!write(job->why_fd, &err, sizeof(err));
	else if (!job->unpack)
		ring_end(&job->ring);
	_exit(r < 0 ? 1 : 0);
}

/* The process holds no more of our descriptors than it needs: it must not keep links or bells open.
 */
static int move_fds(struct job *job)
{
	int dir_fd = dup2(job->dir_fd, 3) < 0 ? -1 : 3;

	/* The others are above the folder's descriptor, which was opened first. */
	if (dir_fd < 0 || dup2(job->ring.bell, 4) < 0 || dup2(job->why_fd, 5) < 0 ||
	    close_range(6, ~0U, 0) < 0)
		return -1;
	job->dir_fd = 3;
	job->ring.bell = 4;
	job->why_fd = 5;
	return 0;
}

static int spread_fds(struct job *job)
{
	int *fds[] = { &job->dir_fd, &job->ring.bell, &job->why_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, 6);
		if (*fds[i] < 0)
			return -1;
	}
	return move_fds(job);
}

static int start_job(struct tree *t, struct job *job)
{
	int why[2] = { -1, -1 };
	int bell;
	int r = ring_new(&t->ring, job->unpack ? 0 : LINK_FRAME_HEAD, &bell);

	if (r < 0)
		return r;
	if (pipe2(why, O_CLOEXEC) < 0) {
		close_keep_errno(bell);
		return -errno;
	}
	(void)fcntl(why[0], F_SETFL, O_NONBLOCK);
	t->why_fd = why[0];
	job->ring = (struct ring){ .memory = t->ring.memory, .bell = bell };
	job->why_fd = why[1];
	t->pid = fork();
	if (t->pid == 0) {
		if (spread_fds(job) < 0)
			_exit(1);
		run_job(job);
	}
	close_keep_errno(bell);
	close_keep_errno(why[1]);
	if (t->pid < 0)
		return -EAGAIN;
	r = loop_fd_add(t->agent->loop, t->ring.bell, EPOLLIN, on_bell, t, &t->source);
	return r < 0 ? r : agent_child_add(t->agent, t->pid, on_process_ended, t);
}

/* --- requests --- */

static void tree_request(struct agent *agent, struct link_stream *stream, struct job *job,
			 const char *path)
{
	struct tree *t = calloc(1, sizeof(*t));
	int r = t ? 0 : -ENOMEM;

	if (r == 0) {
		*t = (struct tree){ .agent = agent, .stream = stream, .unpack = job->unpack };
		t->why_fd = -1;
		t->ring.bell = -1;
		r = start_job(t, job);
	}
	if (r < 0) {
		if (t)
			tree_free(t);
		file_error(stream, r, "start a process for", path);
		return;
	}
	link_stream_set_ops(stream, &tree_ops, t);
	if (job->unpack)
		return;
	if (link_stream_reply(stream, 200, NULL, 0, true) < 0) {
		link_stream_reset(stream);
		on_closed(t, "no memory");
	}
}

void tree_get(struct agent *agent, struct link_stream *stream)
{
	struct job job = { .unpack = false };
	char path[PATH_MAX];
	autoclose int fd = -1;
	uint64_t root = 0;
	char *slash;
	int r = agent_request_path(stream, TAR_PREFIX, path, sizeof(path));

	if (r == 0)
		r = agent_request_number(stream, "root", 10, 0, &root);
	job.root = root != 0;
	if (r < 0) {
		file_error(stream, r, "pack", "the request");
		return;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR && access(path, F_OK) == 0) {
		slash = strrchr(path, '/');
		job.name = slash + 1;
		*slash = '\0';
		fd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0) {
		file_error(stream, -errno, "open", path);
		return;
	}
	job.dir_fd = fd;
	tree_request(agent, stream, &job, path);
}

void tree_put(struct agent *agent, struct link_stream *stream)
{
	struct job job = { .unpack = true };
	char path[PATH_MAX];
	autoclose int fd = -1;
	int r = agent_request_path(stream, TAR_PREFIX, path, sizeof(path));

	fd = r < 0 ? r : open_dir_create(path, 0755);
	if (fd < 0) {
		file_error(stream, fd, "open", path);
		return;
	}
	job.dir_fd = fd;
	tree_request(agent, stream, &job, path);
}
