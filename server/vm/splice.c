/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/splice.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/vm/idle.h"
#include "server/vm/vm_internal.h"

enum { READ_SIZE = 64 * 1024, OUT_MAX = 512 * 1024 };

struct splice {
	struct splice *next;
	struct vm *vm;
	int fd;
	struct loop_fd *source;     /* NULL: not watched: nothing is wanted of it */
	struct guest_stream *guest; /* NULL: ended */
	struct buf in;              /* read from the socket, not yet taken by the guest */
	struct buf out;             /* of the guest, not yet written */
	bool ready;                 /* the guest has connected */
	bool in_end;                /* the socket has sent all */
	bool finished;              /* and the guest has been told */
	bool out_end;               /* the guest has */
	splice_end_fn *fn;
	void *data;
};

static void on_socket(void *data, uint32_t events);

void splice_link(struct splice **list, struct splice *splice)
{
	splice->next = *list;
	*list = splice;
}

void splice_unlink(struct splice **list, struct splice *splice)
{
	for (; *list; list = &(*list)->next) {
		if (*list == splice) {
			*list = splice->next;
			return;
		}
	}
}

static void release(struct splice *s)
{
	if (s->guest)
		guest_stream_abort(TAKE_PTR(s->guest));
	loop_fd_remove(s->source);
	close_keep_errno(s->fd);
	buf_done(&s->in);
	buf_done(&s->out);
	vm_busy(s->vm->vms, s->vm->row.id, -1);
	free(s);
}

void splice_free(struct splice *s)
{
	s->fn(s->data, s);
	release(s);
}

/* The other side learns that it was cut, not finished. */
static void cut(struct splice *s)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	splice_free(s);
}

/* A socket of which nothing is wanted is not watched: one that hangs up would wake us for ever. */
static int watch(struct splice *s)
{
	uint32_t events = (s->ready && !s->in_end && buf_len(&s->in) == 0 ? EPOLLIN : 0U) |
			  (buf_len(&s->out) > 0 ? EPOLLOUT : 0U);

	if (events == 0)
		loop_fd_remove(TAKE_PTR(s->source));
	else if (s->source)
		loop_fd_set_events(s->source, events);
	else
		return loop_fd_add(s->vm->vms->c.loop, s->fd, events, on_socket, s, &s->source);
	return 0;
}

/* --- to the guest --- */

static void push(struct splice *s)
{
	size_t n = buf_len(&s->in);

	if (!s->guest)
		return;
	if (n > 0)
		buf_consume(&s->in, guest_stream_write(s->guest, buf_bytes(&s->in), n));
	if (buf_len(&s->in) == 0 && s->in_end && !s->finished) {
		s->finished = true;
		guest_stream_finish(s->guest);
	}
}

/* 0, or negative when the connection is lost. */
static int read_socket(struct splice *s)
{
	uint8_t *to = buf_reserve(&s->in, READ_SIZE);
	ssize_t n = to ? recv(s->fd, to, READ_SIZE, 0) : -1;

	if (n < 0)
		return to && (errno == EAGAIN || errno == EINTR) ? 0 : -EIO;
	if (n == 0)
		s->in_end = true;
	else
		buf_commit(&s->in, (size_t)n);
	vm_touch(s->vm);
	push(s);
	return 0;
}

/* --- from the guest --- */

static int flush(struct splice *s)
{
	while (buf_len(&s->out) > 0) {
		ssize_t n = send(s->fd, buf_bytes(&s->out), buf_len(&s->out), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		buf_consume(&s->out, (size_t)n);
	}
	if (s->out_end)
		(void)shutdown(s->fd, SHUT_WR);
	return 0;
}

static bool on_output(void *data, const void *bytes, size_t len)
{
	struct splice *s = data;

	if (buf_append(&s->out, bytes, len) < 0 || flush(s) < 0 || watch(s) < 0) {
		cut(s);
		return true;
	}
	vm_touch(s->vm);
	return buf_len(&s->out) == 0;
}

static void on_output_end(void *data)
{
	struct splice *s = data;

	s->out_end = true;
	if (flush(s) < 0)
		cut(s);
}

static void on_ready(void *data, const struct guest_file_info *info)
{
	struct splice *s = data;

	(void)info;
	s->ready = true;
	if (watch(s) < 0)
		cut(s);
}

static void on_writable(void *data)
{
	struct splice *s = data;

	push(s);
	if (watch(s) < 0)
		cut(s);
}

static void on_end(void *data, const struct error *err)
{
	struct splice *s = data;

	s->guest = NULL;
	if (err->code != ERR_NONE)
		cut(s);
	else if (buf_len(&s->out) == 0)
		splice_free(s);
}

static void on_socket(void *data, uint32_t events)
{
	struct splice *s = data;
	bool full = buf_len(&s->out) > 0;
	int r = 0;

	if (events & EPOLLOUT)
		r = flush(s);
	if (r == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR) && s->ready && !s->in_end &&
	    buf_len(&s->in) == 0)
		r = read_socket(s);
	else if (r == 0 && events & (EPOLLHUP | EPOLLERR))
		r = -EPIPE; /* nobody reads what is still to be written */
	if (r < 0 || watch(s) < 0)
		cut(s);
	else if (!s->guest && buf_len(&s->out) == 0)
		splice_free(s);
	else if (full && s->guest && buf_len(&s->out) == 0)
		guest_stream_resume(s->guest); /* brings more at once: nothing comes behind it */
}

int splice_new(struct vm *vm, int fd, const char *host, uint16_t port, splice_end_fn *fn,
	       void *data, struct splice **ret_splice, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_ready,
								 .output = on_output,
								 .output_end = on_output_end,
								 .writable = on_writable,
								 .end = on_end };
	struct splice *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		close_keep_errno(fd);
		return error_errno(err, -ENOMEM, "forward a connection");
	}
	*s = (struct splice){ .vm = vm, .fd = fd, .fn = fn, .data = data };
	buf_init(&s->in, READ_SIZE);
	buf_init(&s->out, OUT_MAX);
	vm_busy(vm->vms, vm->row.id, 1);
	r = guest_tunnel_open(vm->guest, host, port, &callbacks, s, &s->guest, err);
	if (r < 0) {
		release(s);
		return r;
	}
	*ret_splice = s;
	return 0;
}
