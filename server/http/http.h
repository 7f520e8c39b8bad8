/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP for the API: requests that have already been authenticated, routed and validated against the
 * OpenAPI document, and replies that may come later. Nothing of libmicrohttpd shows here.
 *
 * All of it belongs to the loop's thread. A handler either replies before it returns, or keeps the
 * request and replies from a later callback; then it sets http_on_gone() to learn that the client
 * has left. A request lives until it has been replied to in full (or its `gone` callback has
 * returned).
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/loop/loop.h"

struct http_server;
struct http_request;

enum http_scope { HTTP_SCOPE_NONE, HTTP_SCOPE_READ, HTTP_SCOPE_RUN, HTTP_SCOPE_ADMIN };

typedef void http_handler_fn(struct http_request *req, void *context);

/* One row an operation of the document; method, path, scope and limits stand in the document alone.
 */
struct http_handler {
	const char *operation_id;
	http_handler_fn *fn;
};

/* --- the request --- */

const char *http_method(const struct http_request *req);
const char *http_path(const struct http_request *req);
/* Path and query as they were sent, for passing on. */
const char *http_target(const struct http_request *req);
/* Value of a path parameter by its name in the document; never NULL for one of the route. */
const char *http_param(const struct http_request *req, const char *name);
/* Query parameter or NULL; of a repeated one the first. */
const char *http_query(const struct http_request *req, const char *name);
/* Each value of a repeated parameter: begin with *at = 0; NULL after the last. */
const char *http_query_next(const struct http_request *req, const char *name, size_t *at);
const char *http_header(const struct http_request *req, const char *name);
/* Every header field as it came. */
typedef void http_header_fn(void *data, const char *name, const char *value);
void http_each_header(const struct http_request *req, http_header_fn *fn, void *data);
/* The validated JSON body, borrowed; NULL without one. */
const json_t *http_body(const struct http_request *req);
/* Who asks, for the audit log: "uid:1000" or "token:ci". */
const char *http_principal(const struct http_request *req);
/* How far the caller's rights reach. */
enum http_scope http_scope(const struct http_request *req);
const char *http_scope_name(enum http_scope scope);
/* Seconds of `Prefer: wait=N` (RFC 7240), 0 without; at most 600. */
int http_prefer_wait(const struct http_request *req);
/* Whether a client that leaves while it waits takes the operation along: `on-disconnect=cancel`. */
bool http_prefer_cancel(const struct http_request *req);
/* True when `type` is the best of the Accept header among the types that the operation offers. */
bool http_accepts(const struct http_request *req, const char *type);
/* Called once if the client leaves before the reply is complete; the request is invalid when it
 * returns. */
void http_on_gone(struct http_request *req, loop_fn *fn, void *data);

/*
 * An id for what the request makes. When a request is repeated with its Idempotency-Key after its
 * first try got no reply, this is the same id again: a handler of an operation with
 * `x-banger-retry: rerun` looks whether that resource exists already.
 */
const char *http_new_id(struct http_request *req);
/* The same with the choice of an id that the handler would rather have; NULL: none. It is that one
 * from now on, unless it can't be remembered. */
const char *http_adopt_id(struct http_request *req, const char *id);
/* The request was done by an earlier try: says so in the reply (`Idempotent-Replayed`). */
void http_mark_replayed(struct http_request *req);
/* Remembers the operation that will bring the outcome, for a repetition of the request. */
void http_note_operation(struct http_request *req, const char *operation, const char *location);
/* The same of whatever a handler with `x-banger-retry: rerun` has begun, for itself: steals `note`.
 */
void http_note(struct http_request *req, json_t *note);
/* What an earlier try has noted; NULL for none. Borrowed. */
const json_t *http_noted(const struct http_request *req);

/* --- simple replies; each ends the request --- */

/* Before the reply: adds a header; at most 64. */
void http_reply_header(struct http_request *req, const char *name, const char *value);
/* Steals `body`. With status 200 to a GET, its hash becomes the ETag, and If-None-Match is heeded.
 */
void http_reply_json(struct http_request *req, int status, json_t *body);

/* The JSON text of a reply that is kept, to be given again: counted, with its own ETag. Steals
 * `data` (malloc), also on failure; NULL when out of memory. */
struct http_text;
struct http_text *http_text_new(char *data, size_t len);
struct http_text *http_text_ref(struct http_text *text);
/* NULL is fine. */
void http_text_unref(struct http_text *text);
size_t http_text_len(const struct http_text *text);
const char *http_text_bytes(const struct http_text *text);
/* The same as http_reply_json() with status 200 and this text; `?fields=` has been heeded. The
 * reply has a reference of its own. */
void http_reply_text(struct http_request *req, struct http_text *text);

/* What `?fields=` wants of a resource; http_reply_json() does so itself. Steals and returns. */
json_t *http_pick_fields(const struct http_request *req, json_t *body);
void http_reply_bytes(struct http_request *req, int status, const char *content_type,
		      const void *data, size_t len);
/* The same for data that lives as long as the program. */
void http_reply_static(struct http_request *req, int status, const char *content_type,
		       const void *data, size_t len);
/* A regular file from its beginning; takes over the descriptor. */
void http_reply_fd(struct http_request *req, int status, const char *content_type, int fd);
void http_reply_empty(struct http_request *req, int status);
/* RFC 9457 problem document made from the error; `operation` is an operation id or NULL. */
void http_reply_error(struct http_request *req, const struct error *err, const char *operation);

/*
 * Conditional requests. `etag` is the resource's version without quotes, at most 128 bytes. The
 * first adds the ETag header, and replies 304 and returns true when the client has that version;
 * the second is 0, or ERR_PRECONDITION when If-Match names another one.
 */
bool http_not_modified(struct http_request *req, const char *etag);
int http_check_if_match(const struct http_request *req, const char *etag,
			struct error *err) MUST_USE;
/* The same for what http_reply_json() would reply with to a GET; steals `view`. */
int http_check_if_match_json(const struct http_request *req, json_t *view,
			     struct error *err) MUST_USE;
/*
 * The tags of If-Match or If-None-Match in one list, for who holds them against the version; the
 * caller frees. *ret_list stays as it is where there is none. ERR_BAD_REQUEST for what is no list
 * of tags.
 */
int http_etag_list(const struct http_request *req, const char *name, char **ret_list,
		   struct error *err) MUST_USE;

/* --- streamed replies --- */

struct http_stream_callbacks {
	/* What was written has left; more is welcome. May be NULL. */
	void (*drained)(void *data);
	/* The server ends: the last frame can be written, and must be followed by
	 * http_stream_end(). May be NULL: `gone` is called instead. */
	void (*ending)(void *data);
	/* The client left, or the server ends. The stream is invalid when it returns. */
	void (*gone)(void *data);
};

enum { HTTP_STREAM_BUFFER = 256 * 1024 };

struct http_stream;
/* Before the beginning: how many bytes there will be (`Content-Length`). Not one more is taken;
 * ending before them breaks the connection. */
void http_stream_length(struct http_request *req, uint64_t length);
/* Sends status and headers; chunked without a length. Replaces http_on_gone(). NULL when out of
 * memory (request ended). `content_type` NULL: none. */
struct http_stream *http_stream_begin(struct http_request *req, int status,
				      const char *content_type,
				      const struct http_stream_callbacks *callbacks, void *data);
/* Takes all of it (0) or nothing (-ENOBUFS: wait for drained()). */
int http_stream_write(struct http_stream *stream, const void *data, size_t len);
size_t http_stream_room(const struct http_stream *stream);
/* A trailer field (RFC 9110 section 6.5), before the end. */
void http_stream_trailer(struct http_stream *stream, const char *name, const char *value);
/* Ends the reply in order once all is sent; no further callback, and the stream is invalid. */
void http_stream_end(struct http_stream *stream);
/* Breaks the connection, so that the client sees an incomplete reply. */
void http_stream_abort(struct http_stream *stream);

/* --- request bodies that are not JSON --- */

/*
 * For an operation whose body is no JSON the handler is called as soon as the headers are there. It
 * replies (a refusal, and the body is not read) or calls http_upload_begin().
 */
struct http_upload_callbacks {
	/* Takes what it can of the bytes and returns how many; less than all pauses the client
	 * until http_upload_resume(). */
	size_t (*data)(void *data, const void *bytes, size_t len);
	/* The whole body has been given; the reply may come now or later. */
	void (*end)(void *data);
	/* The client left before the reply; the request is invalid when it returns. */
	void (*gone)(void *data);
};

/* Replaces http_on_gone(). A reply before the end is fine: the rest of the body is dropped. */
void http_upload_begin(struct http_request *req, const struct http_upload_callbacks *callbacks,
		       void *data);
void http_upload_resume(struct http_request *req);

/* --- upgraded connections --- */

/* The connection as a stream of bytes in both directions (`101 Switching Protocols`). */
struct http_tunnel;

enum { HTTP_TUNNEL_BUFFER = 256 * 1024 };

struct http_tunnel_callbacks {
	void (*data)(void *data, const void *bytes, size_t len);
	/* The client sends no more, but still reads. May be NULL: the tunnel is closed then. */
	void (*end)(void *data);
	/* What was written has left. May be NULL. */
	void (*drained)(void *data);
	/* The server ends: what is written is sent if the client takes it at once, and
	 * http_tunnel_close() must follow. May be NULL: `gone` is called instead. */
	void (*ending)(void *data);
	/* The connection is lost. The tunnel is invalid when it returns. */
	void (*gone)(void *data);
};

/* True when the client asks for an upgrade to `protocol`. */
bool http_wants_upgrade(const struct http_request *req, const char *protocol);
/* Ends the request; NULL when out of memory. Callbacks come later, never from within. */
struct http_tunnel *http_tunnel_begin(struct http_request *req, const char *protocol,
				      const struct http_tunnel_callbacks *callbacks, void *data);
/* Takes all of it (0) or nothing (-ENOBUFS: wait for drained()). */
int http_tunnel_write(struct http_tunnel *tunnel, const void *data, size_t len);
size_t http_tunnel_room(const struct http_tunnel *tunnel);
/* Stops or goes on with reading. */
void http_tunnel_pause(struct http_tunnel *tunnel, bool pause);
/* Sends what is left, then tells the client that no more will come. */
void http_tunnel_end(struct http_tunnel *tunnel);
/* Sends what is left, then closes. No further callback, and the tunnel is invalid. */
void http_tunnel_close(struct http_tunnel *tunnel);

/*
 * What a guest serves is shown to browsers on an origin of its own: server/http/preview.h. True
 * when the request came there, and when the dashboard's cookie says who asks.
 */
bool http_by_preview(const struct http_request *req);
bool http_by_cookie(const struct http_request *req);
/* Sends a browser that has the dashboard's session to the preview of this port, at `rest`
 * ("/path?query"). */
void http_preview_redirect(struct http_request *req, const char *vm, uint16_t port,
			   const char *rest);

/* WebSocket (RFC 6455) on such a connection; pings are answered, messages arrive whole. */
struct http_ws;

enum { HTTP_WS_MESSAGE_MAX = 1024 * 1024 };

struct http_ws_callbacks {
	/* `text` is valid UTF-8, not terminated. */
	void (*message)(void *data, bool text, const void *bytes, size_t len);
	/* What was sent has left. May be NULL. */
	void (*drained)(void *data);
	/* The server ends: the last message can be sent. The WebSocket is invalid when it returns,
	 * and is closed (1001). May be NULL: `gone` is called instead. */
	void (*ending)(void *data);
	/* Closed by the client or lost. The WebSocket is invalid when it returns. */
	void (*gone)(void *data);
};

/* Ends the request, with a problem (and NULL) where it is not a WebSocket handshake. */
struct http_ws *http_ws_accept(struct http_request *req, const struct http_ws_callbacks *callbacks,
			       void *data);
/* 0, or -ENOBUFS when the client reads too slowly: wait for drained(). */
int http_ws_send(struct http_ws *ws, bool text, const void *data, size_t len);
size_t http_ws_room(const struct http_ws *ws);
void http_ws_pause(struct http_ws *ws, bool pause);
/* Says why (RFC 6455 section 7.4; 1000 is normal) and closes. No further callback. */
void http_ws_close(struct http_ws *ws, uint16_t code, const char *reason);

/* --- the server --- */

/* A reply kept under an Idempotency-Key. Strings are owned by whoever fills it. */
struct http_saved {
	char request_hash[65];
	int status;    /* 0: no reply yet */
	char *headers; /* JSON: what is needed to go on or to say it again */
	char *body;
};

/* Where replies are kept: 24 hours, across restarts. Loop's thread. */
struct http_replays {
	/* 0, -ENOENT, or another error. `ret` is freed by the caller with http_saved_done(). */
	int (*find)(void *context, const char *who, const char *key, struct http_saved *ret,
		    struct error *err);
	int (*save)(void *context, const char *who, const char *key, const struct http_saved *saved,
		    struct error *err);
	void (*forget)(void *context, const char *who, const char *key);
	/* Replies to a repeated request with the operation that the first one began. */
	void (*resume)(void *context, struct http_request *req, const char *operation,
		       const char *location);
};
void http_saved_done(struct http_saved *saved);

/* A request that changes something, or would have, and what became of it. Borrowed. */
struct http_audit {
	const char *operation; /* operationId */
	const char *method;
	const char *path;     /* as asked, without the query */
	const char *location; /* of the reply, for what was made; NULL: none */
	const char *by;
	unsigned int status;
};

struct http_config {
	const char *socket_path; /* absolute; unix socket, 0600 from birth, its folder exists */
	const char *tcp_host;    /* "127.0.0.1"; NULL: no TCP */
	uint16_t tcp_port;       /* 0: any free one */
	const char *tls_cert; /* PEM files, for the TCP port; NULL: plain HTTP, on loopback only */
	const char *tls_key;
	const char *web_root; /* folder of the dashboard's files; may be absent */
	/* Looks up a bearer token; returns its scope, or HTTP_SCOPE_NONE. `principal` gets who
	 * that is, "token:ci". */
	enum http_scope (*check_token)(void *context, const char *token, char *principal,
				       size_t size);
	/* Makes a token for a session of the dashboard; `token` gets its secret. 0 or a negative
	 * errno. NULL: no login. */
	int (*issue_session)(void *context, enum http_scope scope, int life_s, char *token,
			     size_t size, struct error *err);
	/* Makes the token void. May be NULL. */
	void (*revoke_session)(void *context, const char *token);
	/* 0 when changes can be stored now; else what is refused with. Never blocks. May be NULL.
	 */
	int (*writable)(void *context, struct error *err);
	/* Told of each reply to a known client that is not to a mere look. May be NULL. */
	void (*audit)(void *context, const struct http_audit *audit);
	void *context; /* given to handlers and to the functions above */
	const struct http_handler *handlers;
	size_t n_handlers;
	const struct http_replays *replays; /* NULL: Idempotency-Key is not heeded */
	/* OpenAPI document as JSON; NULL: the one that is built in. */
	const char *document;
	/* Operations without a handler are left out instead of stopping the start: for tests of a
	 * part of the API. */
	bool partial;
};

/*
 * Fails, in one sentence, when a socket or port is in use (naming who holds it where that can be
 * known), or when the handlers and the document's operations do not match one to one.
 */
int http_server_new(struct loop *loop, const struct http_config *config,
		    struct http_server **ret_server, struct error *err) MUST_USE;
/* Ends every connection; `gone` callbacks run. */
void http_server_free(struct http_server *server);
/* What it has done since its start, and what it does. */
struct http_counts {
	uint64_t replies[5]; /* 1xx to 5xx */
	unsigned int connections;
};
const struct http_counts *http_server_counts(const struct http_server *server);

/* True when systemd has bound the unix socket, and goes on holding it. */
bool http_server_held(const struct http_server *server);

/* The TCP port listened on; 0 without TCP. */
uint16_t http_server_port(const struct http_server *server);
