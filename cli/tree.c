/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static void *work(void *data)
{
	struct tree *t = data;

	if (t->unpack)
		t->result = tar_read(t->theirs, t->dir_fd, TAR_DROP_OWNER, &t->error);
	else
		t->result =
			tar_write_parts(t->theirs, t->parts, t->n_parts, TAR_DROP_OWNER, &t->error);
	close_keep_errno(take_fd(&t->theirs));
	return NULL;
}

static int start(struct tree *t, int dir_fd, bool unpack, struct error *err)
{
	sigset_t pipe_signal;
	int fds[2];
	int r;

	t->fd = t->theirs = -1;
	t->dir_fd = dir_fd;
	t->unpack = unpack;
	t->error = ERROR_INIT;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "make a pipe");
	t->fd = fds[unpack ? 1 : 0];
	t->theirs = fds[unpack ? 0 : 1];
	/* The other end may go first: an error there, not a signal here. The thread inherits it. */
	(void)sigemptyset(&pipe_signal);
	(void)sigaddset(&pipe_signal, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
	r = pthread_create(&t->thread, NULL, work, t);
	t->started = r == 0;
	if (r != 0) {
		close_keep_errno(take_fd(&t->fd));
		close_keep_errno(take_fd(&t->theirs));
		return error_errno(err, -r, "start a thread");
	}
	return 0;
}

int tree_pack(struct tree *t, const struct tar_part *parts, size_t n, struct error *err)
{
	*t = (struct tree){ .parts = parts, .n_parts = n };
	return start(t, -1, false, err);
}

int tree_unpack(struct tree *t, int dir_fd, struct error *err)
{
	*t = (struct tree){ .parts = NULL };
	return start(t, dir_fd, true, err);
}

int tree_end(struct tree *t, struct error *err)
{
	if (!t->started)
		return 0;
	close_keep_errno(take_fd(&t->fd));
	(void)pthread_join(t->thread, NULL);
	t->started = false;
	if (t->result < 0)
		*err = t->error;
	return t->result;
}
