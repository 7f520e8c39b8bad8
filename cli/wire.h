/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that a request has turned into something else (`101 Switching Protocols`): raw bytes,
 * or a WebSocket (RFC 6455) on them. One thread; descriptors do not block.
 */
#pragma once

#include "cli/client.h"
#include "lib/base/buf.h"

enum { WIRE_HEAD_MAX = 64 * 1024, WS_MESSAGE_MAX = 4 * 1024 * 1024 };

/*
 * Asks for `protocol` at `path`. 1: *ret_fd is the caller's, and `rest` (initialised by the caller)
 * holds what came behind the head. 0: the server answered otherwise, with *ret_reply. Negative with
 * err set: no answer.
 */
int wire_open(struct client *client, const char *path, const char *protocol, int *ret_fd,
	      struct buf *rest, struct client_reply *ret_reply, struct error *err) MUST_USE;

struct ws;

typedef void ws_message_fn(void *data, bool text, const void *bytes, size_t len);

/* A WebSocket at `path`; returns as wire_open(). */
int ws_open(struct client *client, const char *path, ws_message_fn *fn, void *data,
	    struct ws **ret_ws, struct client_reply *ret_reply, struct error *err) MUST_USE;
/* NULL is fine. */
void ws_free(struct ws *ws);
int ws_fd(const struct ws *ws);
/* What poll(2) should wait for. */
short ws_events(const struct ws *ws);
/* Reads and writes what can be; messages go to the function. False when the connection is over. */
bool ws_work(struct ws *ws);
/* Queues a message; false when out of memory or over. */
bool ws_send(struct ws *ws, bool text, const void *bytes, size_t len);
/* Bytes that wait to be written. */
size_t ws_queued(const struct ws *ws);
