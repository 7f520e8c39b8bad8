/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket by wslay on a tunnel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "lib/base/cleanup.h"
#include "server/http/hash.h"
#include "server/http/internal.h"

enum { FRAME_OVERHEAD = 16, WS_GOING_AWAY = 1001 };

struct http_ws {
	struct http_tunnel *tunnel;
	wslay_event_context_ptr wslay;
	const uint8_t *in; /* what has just arrived */
	size_t in_len;
	bool busy;    /* in a callback: freed after it */
	bool closing; /* the owner has let go */
	const struct http_ws_callbacks *callbacks;
	void *data;
};

static void ws_free(struct http_ws *ws)
{
	wslay_event_context_free(ws->wslay);
	free(ws);
}

/* --- wslay's side --- */

static ssize_t take_input(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
			  void *data)
{
	struct http_ws *ws = data;

	(void)flags;
	if (ws->in_len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (len > ws->in_len)
		len = ws->in_len;
	memcpy(buf, ws->in, len);
	ws->in += len;
	ws->in_len -= len;
	return (ssize_t)len;
}

static ssize_t give_output(wslay_event_context_ptr ctx, const uint8_t *bytes, size_t len, int flags,
			   void *data)
{
	struct http_ws *ws = data;
	size_t room = http_tunnel_room(ws->tunnel);

	(void)flags;
	if (len > room)
		len = room;
	if (len == 0 || http_tunnel_write(ws->tunnel, bytes, len) < 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	return (ssize_t)len;
}

static void got_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
			void *data)
{
	struct http_ws *ws = data;

	(void)ctx;
	if (!wslay_is_ctrl_frame(arg->opcode) && !ws->closing)
		ws->callbacks->message(ws->data, arg->opcode == WSLAY_TEXT_FRAME, arg->msg,
				       arg->msg_length);
}

/* --- the tunnel's side --- */

static void finish(struct http_ws *ws)
{
	http_tunnel_close(ws->tunnel);
	if (!ws->closing)
		ws->callbacks->gone(ws->data);
	ws_free(ws);
}

/* Ends it when both sides have said so, or the client breaks the rules. */
static void settle(struct http_ws *ws, bool failed)
{
	bool over =
		failed || (!wslay_event_want_read(ws->wslay) && !wslay_event_want_write(ws->wslay));

	if (over || (ws->closing && !wslay_event_want_write(ws->wslay)))
		finish(ws);
}

static void on_data(void *data, const void *bytes, size_t len)
{
	struct http_ws *ws = data;
	bool failed;

	ws->in = bytes;
	ws->in_len = len;
	ws->busy = true;
	failed = wslay_event_recv(ws->wslay) != 0;
	failed |= wslay_event_send(ws->wslay) != 0;
	ws->busy = false;
	settle(ws, failed);
}

static void on_drained(void *data)
{
	struct http_ws *ws = data;
	bool failed;

	ws->busy = true;
	failed = wslay_event_send(ws->wslay) != 0;
	if (!failed && !ws->closing && ws->callbacks->drained && !wslay_event_want_write(ws->wslay))
		ws->callbacks->drained(ws->data);
	ws->busy = false;
	settle(ws, failed);
}

static void on_gone(void *data)
{
	struct http_ws *ws = data;

	if (!ws->closing)
		ws->callbacks->gone(ws->data);
	ws_free(ws);
}

static void on_ending(void *data)
{
	struct http_ws *ws = data;

	if (ws->closing) {
		finish(ws);
		return;
	}
	if (ws->callbacks->ending)
		ws->callbacks->ending(ws->data);
	else
		ws->callbacks->gone(ws->data);
	http_ws_close(ws, WS_GOING_AWAY, "the server ends");
}

static const struct http_tunnel_callbacks tunnel_callbacks = {
	.data = on_data,
	.drained = on_drained,
	.ending = on_ending,
	.gone = on_gone,
};

/* --- handshake --- */

static int handshake(struct http_request *req, struct error *err)
{
	const char *key = http_header(req, "Sec-WebSocket-Key");
	const char *version = http_header(req, "Sec-WebSocket-Version");
	char accept[WS_ACCEPT_SIZE];

	if (!http_wants_upgrade(req, "websocket"))
		return error_set(err, ERR_BAD_REQUEST, "%s wants a WebSocket handshake",
				 req->op->path);
	if (!version || !streq(version, "13"))
		return error_set(err, ERR_BAD_REQUEST, "the WebSocket version must be 13");
	if (!key || strlen(key) != WS_KEY_LEN)
		return error_set(err, ERR_BAD_REQUEST, "Sec-WebSocket-Key is not acceptable");
	if (ws_accept_key(key, accept) < 0)
		return error_set(err, ERR_INTERNAL, "SHA-1 is not available");
	http_reply_header(req, "Sec-WebSocket-Accept", accept);
	return 0;
}

struct http_ws *http_ws_accept(struct http_request *req, const struct http_ws_callbacks *callbacks,
			       void *data)
{
	static const struct wslay_event_callbacks wslay_callbacks = {
		.recv_callback = take_input,
		.send_callback = give_output,
		.on_msg_recv_callback = got_message,
	};
	struct error err = ERROR_INIT;
	struct http_ws *ws;

	if (handshake(req, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return NULL;
	}
	ws = calloc(1, sizeof(*ws));
	if (!ws || wslay_event_context_server_init(&ws->wslay, &wslay_callbacks, ws) != 0) {
		free(ws);
		request_set_response(req, 500, NULL);
		return NULL;
	}
	ws->callbacks = callbacks;
	ws->data = data;
	wslay_event_config_set_max_recv_msg_length(ws->wslay, HTTP_WS_MESSAGE_MAX);
	ws->tunnel = http_tunnel_begin(req, "websocket", &tunnel_callbacks, ws);
	if (!ws->tunnel) {
		ws_free(ws);
		return NULL;
	}
	return ws;
}

/* --- the owner's side --- */

int http_ws_send(struct http_ws *ws, bool text, const void *data, size_t len)
{
	struct wslay_event_msg msg = {
		.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
		.msg = data,
		.msg_length = len,
	};

	if (http_ws_room(ws) < len)
		return -ENOBUFS;
	if (wslay_event_queue_msg(ws->wslay, &msg) != 0)
		return -ENOMEM;
	/* A failure shows as an event of the socket. */
	(void)wslay_event_send(ws->wslay);
	return 0;
}

size_t http_ws_room(const struct http_ws *ws)
{
	size_t room = http_tunnel_room(ws->tunnel);

	return room > FRAME_OVERHEAD ? room - FRAME_OVERHEAD : 0;
}

void http_ws_pause(struct http_ws *ws, bool pause)
{
	http_tunnel_pause(ws->tunnel, pause);
}

void http_ws_close(struct http_ws *ws, uint16_t code, const char *reason)
{
	size_t len = strlen(reason);

	(void)wslay_event_queue_close(ws->wslay, code, (const uint8_t *)reason,
				      len < 123 ? len : 123);
	(void)wslay_event_send(ws->wslay);
	ws->closing = true;
	if (!ws->busy)
		settle(ws, false);
}
