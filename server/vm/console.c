/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/console.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { READ_SIZE = 16384, READS_PER_TURN = 8 };

struct console_listener {
	struct console *console;
	struct console_listener *next;
	console_fn *fn; /* NULL: removed during a walk */
	loop_fn *ended;
	void *data;
};

struct console {
	int fd;
	int dir_fd;
	int log_fd;
	size_t log_len;
	size_t logged;
	struct loop_fd *source;
	struct console_listener *first;
	bool walking;
};

static void open_log(struct console *c)
{
	struct stat st;

	c->log_fd =
		open_regular_beneath(c->dir_fd, "console.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	c->log_len = c->log_fd >= 0 && fstat(c->log_fd, &st) == 0 ? (size_t)st.st_size : 0;
}

/* A log that can't be written must not hurt the guest: its bytes are dropped then. */
static void write_log(struct console *c, const char *data, size_t len)
{
	if (c->log_len + len > CONSOLE_FILE_MAX) {
		close_keep_errno(take_fd(&c->log_fd));
		(void)renameat(c->dir_fd, "console.log", c->dir_fd, "console.log.1");
		open_log(c);
	}
	if (c->log_fd >= 0 && write_all(c->log_fd, data, len) == 0)
		c->log_len += len;
	c->logged += len;
}

static void sweep(struct console *c)
{
	for (struct console_listener **l = &c->first; *l;) {
		struct console_listener *dead = *l;

		if (dead->fn) {
			l = &dead->next;
			continue;
		}
		*l = dead->next;
		free(dead);
	}
}

/* 1: read something, 0: nothing there now, -1: the VMM has closed its side. */
static int read_some(struct console *c)
{
	char data[READ_SIZE];
	ssize_t n = read(c->fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	write_log(c, data, (size_t)n);
	c->walking = true;
	for (struct console_listener *l = c->first; l; l = l->next)
		if (l->fn)
			l->fn(l->data, data, (size_t)n);
	c->walking = false;
	sweep(c);
	return 1;
}

static void on_readable(void *data, uint32_t events)
{
	struct console *c = data;
	int r = 1;

	(void)events;
	/* A guest that floods its console gets its share of the loop and no more. */
	for (int i = 0; i < READS_PER_TURN && r > 0; i++)
		r = read_some(c);
	if (r < 0) {
		loop_fd_remove(c->source);
		c->source = NULL;
	}
}

int console_new(struct loop *loop, int fd, int dir_fd, struct console **ret_console)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close_keep_errno(fd);
		close_keep_errno(dir_fd);
		return -ENOMEM;
	}
	*c = (struct console){ .fd = fd, .dir_fd = dir_fd, .log_fd = -1 };
	open_log(c);
	r = loop_fd_add(loop, fd, EPOLLIN, on_readable, c, &c->source);
	if (r < 0) {
		console_free(c);
		return r;
	}
	*ret_console = c;
	return 0;
}

size_t console_drain(struct console *c)
{
	for (int i = 0; i < 64 && c->source && read_some(c) > 0; i++)
		;
	return c->logged;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	(void)console_drain(c);
	loop_fd_remove(c->source);
	while (c->first) {
		struct console_listener *l = c->first;

		c->first = l->next;
		if (l->fn && l->ended)
			l->ended(l->data);
		free(l);
	}
	close_keep_errno(c->fd);
	close_keep_errno(c->log_fd);
	close_keep_errno(c->dir_fd);
	free(c);
}

struct console_listener *console_listen(struct console *console, console_fn *fn, loop_fn *ended,
					void *data)
{
	struct console_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct console_listener){
		.console = console, .next = console->first, .fn = fn, .ended = ended, .data = data
	};
	console->first = l;
	return l;
}

void console_unlisten(struct console_listener *listener)
{
	if (!listener)
		return;
	listener->fn = NULL;
	if (!listener->console->walking)
		sweep(listener->console);
}

void console_write(struct console *console, const void *bytes, size_t len)
{
	(void)!send(console->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int append_file(int dir_fd, const char *name, struct buf *out)
{
	autofree char *data = NULL;
	size_t len = 0;
	int r = read_file_at(dir_fd, name, CONSOLE_FILE_MAX + READ_SIZE, &data, &len);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : buf_append(out, data, len);
}

int console_read_log(int dir_fd, char **ret_data, size_t *ret_len)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	int r;

	buf_init(&out, 4 * CONSOLE_FILE_MAX);
	r = append_file(dir_fd, "console.log.1", &out);
	if (r == 0)
		r = append_file(dir_fd, "console.log", &out);
	if (r == 0)
		r = buf_append(&out, "", 1);
	if (r < 0)
		return r;
	*ret_len = buf_len(&out) - 1;
	*ret_data = (char *)TAKE_PTR(out.data);
	return 0;
}
