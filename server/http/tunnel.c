/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection after its upgrade. libmicrohttpd hands over the socket once it has sent the 101;
 * from then on it is a source of the loop. The tunnel may be used before: what is written waits. It
 * is freed when its owner has closed it or has been told that it is gone, and the socket is given
 * back.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http/internal.h"

enum { READ_BLOCK = 64 * 1024 };

struct http_tunnel {
	struct http_request *req;
	struct MHD_UpgradeResponseHandle *handle; /* NULL until handed over */
	int fd;
	struct loop_fd *source;
	struct buf out;
	bool paused;
	bool in_ended;  /* the client has sent all */
	bool out_ended; /* the owner has */
	bool shut;
	bool closing; /* the owner has let go */
	bool busy;    /* in a callback: not freed under its feet */
	const struct http_tunnel_callbacks *callbacks;
	void *data;
};

static void tunnel_free(struct http_tunnel *t)
{
	struct listener *listener = t->req->listener;

	loop_fd_remove(t->source);
	t->req->tunnel = NULL;
	if (t->handle) {
		(void)MHD_upgrade_action(t->handle, MHD_UPGRADE_ACTION_CLOSE);
		listener_kick(listener);
	}
	buf_done(&t->out);
	free(t);
}

static void lose(struct http_tunnel *t)
{
	if (!t->closing)
		t->callbacks->gone(t->data);
	tunnel_free(t);
}

void tunnel_abort(struct http_tunnel *t)
{
	lose(t);
}

bool tunnel_ending(struct http_tunnel *t)
{
	if (t->closing || !t->callbacks->ending)
		return false;
	t->callbacks->ending(t->data);
	return true;
}

static void on_socket(void *data, uint32_t events);

static int watch(struct http_tunnel *t)
{
	return loop_fd_add(t->req->server->loop, t->fd, EPOLLIN, on_socket, t, &t->source);
}

/* A client that has hung up may have left bytes that its owner is not ready to take yet. */
static void unwatch(struct http_tunnel *t)
{
	loop_fd_remove(t->source);
	t->source = NULL;
}

static void update_events(struct http_tunnel *t)
{
	uint32_t events = 0;

	if (!t->source)
		return;
	if (!t->paused && !t->in_ended && !t->closing)
		events |= EPOLLIN;
	if (buf_len(&t->out) > 0)
		events |= EPOLLOUT;
	loop_fd_set_events(t->source, events);
}

/* 0, or negative when the connection is lost. */
static int flush(struct http_tunnel *t)
{
	while (t->handle && buf_len(&t->out) > 0) {
		ssize_t n = send(t->fd, buf_bytes(&t->out), buf_len(&t->out), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		buf_consume(&t->out, (size_t)n);
	}
	if (t->handle && t->out_ended && !t->shut) {
		t->shut = true;
		(void)shutdown(t->fd, SHUT_WR);
	}
	return 0;
}

/* False when the tunnel has ended. */
static bool read_some(struct http_tunnel *t)
{
	char block[READ_BLOCK];
	ssize_t n = recv(t->fd, block, sizeof(block), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0) {
		t->callbacks->data(t->data, block, (size_t)n);
		return true;
	}
	t->in_ended = true;
	if (!t->callbacks->end)
		return false;
	t->callbacks->end(t->data);
	return true;
}

static void on_socket(void *data, uint32_t events)
{
	struct http_tunnel *t = data;
	bool had_output = buf_len(&t->out) > 0;
	bool alive = true;

	t->busy = true;
	if (events & EPOLLIN && !t->closing)
		alive = read_some(t);
	if (alive && events & EPOLLOUT)
		alive = flush(t) == 0;
	if (alive && had_output && buf_len(&t->out) == 0 && !t->closing && t->callbacks->drained)
		t->callbacks->drained(t->data);
	t->busy = false;
	if (alive && events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN)) {
		alive = t->paused && !t->in_ended && !t->closing;
		if (alive)
			unwatch(t);
	}
	if (!alive)
		lose(t);
	else if (t->closing && buf_len(&t->out) == 0)
		tunnel_free(t);
	else
		update_events(t);
}

/* Called by libmicrohttpd when the 101 has been sent. `extra` came in together with the request. */
static void on_upgraded(void *cls, struct MHD_Connection *connection, void *req_cls,
			const char *extra, size_t extra_size, MHD_socket fd,
			struct MHD_UpgradeResponseHandle *handle)
{
	struct http_request *req = req_cls;
	struct http_tunnel *t = req->tunnel;
	int flags = fcntl(fd, F_GETFL);

	(void)cls;
	(void)connection;
	if (!t || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		(void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
		return;
	}
	t->handle = handle;
	t->fd = fd;
	if (watch(t) < 0 || flush(t) < 0) {
		lose(t);
		return;
	}
	if (extra_size > 0 && !t->closing) {
		t->busy = true;
		t->callbacks->data(t->data, extra, extra_size);
		t->busy = false;
	}
	if (t->closing && buf_len(&t->out) == 0)
		tunnel_free(t);
	else
		update_events(t);
}

static bool has_token(const char *list, const char *token)
{
	size_t len = strlen(token);

	while (list && *list) {
		list += strspn(list, " \t,");
		if (strncasecmp(list, token, len) == 0 && strchr(" \t,", list[len]))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

bool http_wants_upgrade(const struct http_request *req, const char *protocol)
{
	return has_token(http_header(req, "Connection"), "upgrade") &&
	       has_token(http_header(req, "Upgrade"), protocol);
}

struct http_tunnel *http_tunnel_begin(struct http_request *req, const char *protocol,
				      const struct http_tunnel_callbacks *callbacks, void *data)
{
	struct http_tunnel *t = calloc(1, sizeof(*t));
	struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, NULL);

	if (!t || !response) {
		free(t);
		if (response)
			MHD_destroy_response(response);
		request_set_response(req, 500, NULL);
		return NULL;
	}
	*t = (struct http_tunnel){ .req = req, .fd = -1, .callbacks = callbacks, .data = data };
	buf_init(&t->out, HTTP_TUNNEL_BUFFER);
	(void)MHD_add_response_header(response, "Upgrade", protocol);
	req->tunnel = t;
	request_set_response(req, 101, response);
	return t;
}

int http_tunnel_write(struct http_tunnel *t, const void *data, size_t len)
{
	int r;

	assert(!t->out_ended && !t->closing);
	r = buf_append(&t->out, data, len);
	if (r == 0 && buf_len(&t->out) == len)
		(void)flush(t); /* a failure shows as an event of the socket */
	update_events(t);
	return r;
}

size_t http_tunnel_room(const struct http_tunnel *t)
{
	return HTTP_TUNNEL_BUFFER - buf_len(&t->out);
}

void http_tunnel_pause(struct http_tunnel *t, bool pause)
{
	t->paused = pause;
	if (!pause && t->handle && !t->source && watch(t) < 0)
		return;
	update_events(t);
}

void http_tunnel_end(struct http_tunnel *t)
{
	t->out_ended = true;
	(void)flush(t);
	update_events(t);
}

void http_tunnel_close(struct http_tunnel *t)
{
	t->closing = true;
	if (!t->busy && t->handle && (flush(t) < 0 || buf_len(&t->out) == 0))
		tunnel_free(t);
	else
		update_events(t);
}
