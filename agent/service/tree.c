/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as tar streams. The packing and unpacking is done by a process of its own, which may block,
 * run out of disk or be fed nonsense without holding up anybody; bytes go through a pipe.
 */
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
#include "agent/service/pump.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/tar/tar.h"

#define TAR_PREFIX "/tar/"

enum { PIPE_SIZE = 256 * 1024 };

struct tree {
	struct agent *agent;
	struct link_stream *stream; /* NULL: gone */
	bool unpack;
	bool moved; /* all bytes have gone through the pipe */
	bool reaped;
	int status;
	pid_t pid;
	int why_fd; /* the process says here why it failed */
	struct pump pump;
};

static void tree_free(struct tree *t)
{
	pump_done(&t->pump);
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

/* When the process has ended and its bytes have gone: the end of the request. */
static void check_over(struct tree *t)
{
	if (!t->reaped || (!t->moved && t->stream && !t->unpack))
		return;
	if (!t->stream) {
		tree_free(t);
		return;
	}
	if (!t->unpack && t->status == 0) {
		link_stream_finish(t->stream); /* freed when it is closed */
		return;
	}
	if (!t->unpack)
		link_stream_reset(t->stream);
	else if (t->status == 0)
		agent_reply_json(t->stream, 200, json_object());
	else
		reply_failure(t);
	tree_free(t);
}

static void on_process_ended(void *data, int status)
{
	struct tree *t = data;

	t->reaped = true;
	t->status = status;
	check_over(t);
}

static void on_moved(void *data, int error)
{
	struct tree *t = data;

	(void)error; /* the process tells the reason */
	t->moved = true;
	check_over(t);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct tree *t = data;

	return pump_data(&t->pump, bytes, len);
}

static void on_end(void *data)
{
	struct tree *t = data;

	if (t->unpack)
		pump_end(&t->pump);
}

static void on_writable(void *data)
{
	struct tree *t = data;

	pump_writable(&t->pump);
}

static void on_closed(void *data, const char *why)
{
	struct tree *t = data;

	(void)why;
	t->stream = NULL;
	if (t->reaped) {
		tree_free(t);
		return;
	}
	pump_done(&t->pump);
	(void)kill(t->pid, SIGKILL);
}

static const struct link_stream_ops tree_ops = {
	.data = on_data, .end = on_end, .writable = on_writable, .closed = on_closed
};

/* --- the process --- */

struct job {
	bool unpack;
	bool root; /* the image's way: see tar_write_root() */
	int dir_fd;
	const char *name; /* of a single file; NULL: all of the folder */
	int pipe_fd;
	int why_fd;
};

__attribute__((noreturn)) static void run_job(const struct job *job)
{
	struct error err = ERROR_INIT;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(0);
	if (job->unpack)
		r = tar_read(job->pipe_fd, job->dir_fd, TAR_KEEP_OWNER, &err);
	else if (job->name)
		r = tar_write_file(job->pipe_fd, job->dir_fd, job->name, &err);
	else if (job->root)
		r = tar_write_root(job->pipe_fd, job->dir_fd, &err);
	else
		r = tar_write_folder(job->pipe_fd, job->dir_fd, TAR_KEEP_OWNER, &err);
	if (r < 0)
		(void)!write(job->why_fd, &err, sizeof(err));
	_exit(r < 0 ? 1 : 0);
}

/* The process holds no more of our descriptors than it needs: it must not keep links or pipes open.
 */
static int move_fds(struct job *job)
{
	int dir_fd = dup2(job->dir_fd, 3) < 0 ? -1 : 3;

	/* Both pipes are above the folder's descriptor, which was opened first. */
	if (dir_fd < 0 || dup2(job->pipe_fd, 4) < 0 || dup2(job->why_fd, 5) < 0 ||
	    close_range(6, ~0U, 0) < 0)
		return -1;
	job->dir_fd = 3;
	job->pipe_fd = 4;
	job->why_fd = 5;
	return 0;
}

static int spread_fds(struct job *job)
{
	int *fds[] = { &job->dir_fd, &job->pipe_fd, &job->why_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, 6);
		if (*fds[i] < 0)
			return -1;
	}
	return move_fds(job);
}

static int start_job(struct tree *t, struct job *job)
{
	int data[2] = { -1, -1 };
	int why[2] = { -1, -1 };
	int ours;

	if (pipe2(data, O_CLOEXEC) < 0 || pipe2(why, O_CLOEXEC) < 0) {
		int r = -errno;

		close_keep_errno(data[0]);
		close_keep_errno(data[1]);
		return r;
	}
	ours = job->unpack ? data[1] : data[0];
	(void)fcntl(ours, F_SETPIPE_SZ, PIPE_SIZE);
	job->pipe_fd = job->unpack ? data[0] : data[1];
	job->why_fd = why[1];
	t->pid = fork();
	if (t->pid == 0) {
		if (spread_fds(job) < 0)
			_exit(1);
		run_job(job);
	}
	close_keep_errno(job->pipe_fd);
	close_keep_errno(why[1]);
	(void)fcntl(ours, F_SETFL, O_NONBLOCK);
	(void)fcntl(why[0], F_SETFL, O_NONBLOCK);
	t->why_fd = why[0];
	pump_init(&t->pump, t->agent->loop, t->stream, job->unpack ? ours : -1,
		  job->unpack ? -1 : ours);
	t->pump.to_done = on_moved;
	t->pump.from_done = on_moved;
	t->pump.data = t;
	return t->pid < 0 ? -EAGAIN : agent_child_add(t->agent, t->pid, on_process_ended, t);
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
		pump_init(&t->pump, agent->loop, stream, -1, -1);
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
		return;
	}
	pump_start(&t->pump);
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
