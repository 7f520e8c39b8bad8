/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { ANSWER_MS = 300 * 1000, KEY_BYTES = 16 };

/* --- the request --- */

/* The server's answer to the key proves nothing that we need. The caller frees. */
static char *make_key(void)
{
	unsigned char bytes[KEY_BYTES] = { 0 };

	(void)!getrandom(bytes, sizeof(bytes), 0);
	return base64_encode(bytes, sizeof(bytes));
}

static int send_request(struct client *client, int fd, const char *path, const char *protocol,
			struct error *err)
{
	const char *authorization = client_authorization(client);
	autofree char *request = NULL, *key = make_key();
	int r;

	if (!key || asprintf(&request,
			     "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
			     "Accept: application/problem+json\r\nSec-WebSocket-Version: 13\r\n"
			     "Sec-WebSocket-Key: %s\r\n%s%s\r\n",
			     path, client_host(client), protocol, key,
			     authorization ? authorization : "", authorization ? "\r\n" : "") < 0) {
		request = NULL;
		return error_errno(err, -ENOMEM, "request");
	}
	r = write_all(fd, request, strlen(request));
	return r < 0 ? error_errno(err, r, "write to %s", client_address(client)) : 0;
}

/* Reads until there is a whole head; returns its length. */
static ssize_t read_head(int fd, struct buf *in, struct error *err)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const uint8_t *end =
			buf_len(in) ? memmem(buf_bytes(in), buf_len(in), "\r\n\r\n", 4) : NULL;
		uint8_t *room;
		ssize_t n;

		if (end)
			return end + 4 - buf_bytes(in);
		room = buf_reserve(in, 4096);
		if (!room)
			return error_set(err, ERR_UPSTREAM, "the server's answer is too long");
		if (poll(&p, 1, ANSWER_MS) == 0)
			return error_set(err, ERR_TIMEOUT, "the server does not answer");
		n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, ERR_UPSTREAM, "the server broke off");
		buf_commit(in, (size_t)n);
	}
}

/* Bytes of a buffer, which has no NUL behind them. */
static char *copy_text(const void *bytes, size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		return NULL;
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	return text;
}

/* A refusal: its body is a problem document of known length. */
static int take_refusal(int fd, const char *head, struct buf *in, struct client_reply *reply,
			struct error *err)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");
	size_t length = field ? strtoul(strchr(field, ':') + 1, NULL, 10) : 0;

	while (buf_len(in) < length) {
		uint8_t *room = buf_reserve(in, 4096);
		ssize_t n = room ? read(fd, room, 4096) : -1;

		if (n <= 0)
			return error_set(err, ERR_UPSTREAM, "the server broke off");
		buf_commit(in, (size_t)n);
	}
	reply->text = copy_text(length ? buf_bytes(in) : NULL, length);
	if (!reply->text)
		return error_errno(err, -ENOMEM, "reply");
	reply->text_len = length;
	reply->json = json_loadb(reply->text, length, 0, NULL);
	return 0;
}

int wire_open(struct client *client, const char *path, const char *protocol, int *ret_fd,
	      struct buf *rest, struct client_reply *ret_reply, struct error *err)
{
	autofree char *head = NULL;
	autoclose int fd = -1;
	ssize_t len;
	int r = client_connect(client, &fd, err);

	if (r == 0)
		r = send_request(client, fd, path, protocol, err);
	if (r < 0)
		return r;
	len = read_head(fd, rest, err);
	if (len < 0)
		return (int)len;
	head = copy_text(buf_bytes(rest), (size_t)len);
	buf_consume(rest, (size_t)len);
	if (!head)
		return error_errno(err, -ENOMEM, "reply");
	ret_reply->exit_code = -1;
	ret_reply->status = str_has_prefix(head, "HTTP/1.1 ") ? (int)strtol(head + 9, NULL, 10) : 0;
	if (ret_reply->status != 101)
		return take_refusal(fd, head, rest, ret_reply, err);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return error_errno(err, -errno, "connection");
	*ret_fd = take_fd(&fd);
	return 1;
}

/* --- WebSocket --- */

struct ws {
	wslay_event_context_ptr wslay;
	int fd;
	struct buf in; /* read, not yet given to wslay */
	bool over;     /* the other side has ended or broken the connection */
	ws_message_fn *fn;
	void *data;
};

static ssize_t ws_take(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *data)
{
	struct ws *ws = data;
	ssize_t n;

	(void)flags;
	if (buf_len(&ws->in) > 0) {
		if (len > buf_len(&ws->in))
			len = buf_len(&ws->in);
		memcpy(buf, buf_bytes(&ws->in), len);
		buf_consume(&ws->in, len);
		return (ssize_t)len;
	}
	n = recv(ws->fd, buf, len, 0);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	ws->over = true;
	wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t ws_give(wslay_event_context_ptr ctx, const uint8_t *bytes, size_t len, int flags,
		       void *data)
{
	struct ws *ws = data;
	ssize_t n = send(ws->fd, bytes, len, MSG_NOSIGNAL);

	(void)flags;
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	ws->over = true;
	wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static int ws_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *data)
{
	(void)ctx;
	(void)data;
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static void ws_got(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
		   void *data)
{
	struct ws *ws = data;

	(void)ctx;
	if (!wslay_is_ctrl_frame(arg->opcode))
		ws->fn(ws->data, arg->opcode == WSLAY_TEXT_FRAME, arg->msg, arg->msg_length);
}

int ws_open(struct client *client, const char *path, ws_message_fn *fn, void *data,
	    struct ws **ret_ws, struct client_reply *ret_reply, struct error *err)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = ws_take,
		.send_callback = ws_give,
		.genmask_callback = ws_mask,
		.on_msg_recv_callback = ws_got,
	};
	struct ws *ws = calloc(1, sizeof(*ws));
	int r;

	if (!ws || wslay_event_context_client_init(&ws->wslay, &callbacks, ws) != 0) {
		free(ws);
		return error_errno(err, -ENOMEM, "WebSocket");
	}
	ws->fd = -1;
	ws->fn = fn;
	ws->data = data;
	buf_init(&ws->in, WIRE_HEAD_MAX);
	wslay_event_config_set_max_recv_msg_length(ws->wslay, WS_MESSAGE_MAX);
	r = wire_open(client, path, "websocket", &ws->fd, &ws->in, ret_reply, err);
	if (r <= 0) {
		ws_free(ws);
		return r;
	}
	*ret_ws = ws;
	return 1;
}

void ws_free(struct ws *ws)
{
	if (!ws)
		return;
	wslay_event_context_free(ws->wslay);
	close_keep_errno(ws->fd);
	buf_done(&ws->in);
	free(ws);
}

int ws_fd(const struct ws *ws)
{
	return ws->fd;
}

short ws_events(const struct ws *ws)
{
	return wslay_event_want_write(ws->wslay) ? POLLIN | POLLOUT : POLLIN;
}

bool ws_work(struct ws *ws)
{
	if (wslay_event_recv(ws->wslay) != 0 || wslay_event_send(ws->wslay) != 0)
		return false;
	return !ws->over && (wslay_event_want_read(ws->wslay) || wslay_event_want_write(ws->wslay));
}

bool ws_send(struct ws *ws, bool text, const void *bytes, size_t len)
{
	struct wslay_event_msg message = {
		.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
		.msg = bytes,
		.msg_length = len,
	};

	return wslay_event_queue_msg(ws->wslay, &message) == 0 &&
	       wslay_event_send(ws->wslay) == 0 && !ws->over;
}

size_t ws_queued(const struct ws *ws)
{
	return wslay_event_get_queued_msg_length(ws->wslay);
}
