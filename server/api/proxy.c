/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/proxy/{port}/{path}: a request handed on to an HTTP server in the guest, by a
 * connection that the guest makes, and its reply handed back. A browser with the dashboard's
 * session is sent to an origin of its own first, because what a guest serves must not act as the
 * dashboard: server/http/preview.h.
 *
 * A reply may begin before the request has been sent whole. It is held back until then, or until
 * the guest says no more or has said too much: from that moment the rest of the request is dropped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/api/handlers.h"
#include "server/api/proxy_fields.h"
#include "server/vm/idle.h"

enum {
	OUT_MAX = 256 * 1024, /* for the guest, not yet taken */
	OUT_FULL = 64 * 1024,
	HELD_MAX = 512 * 1024, /* of the reply, while the request is still sent */
	HELD_FULL = 128 * 1024,
	LOW_ROOM = 64 * 1024,
	CHUNK_LINE = 24,
};

struct proxy {
	struct api *api;
	struct proxy_place place;
	char name[80];
	struct http_request *req; /* until the reply begins */
	struct http_stream *stream;
	struct http_tunnel *tunnel; /* after an upgrade */
	struct guest_stream *guest;
	struct upstream reply;
	struct buf out;
	struct buf held;
	bool ready; /* the guest has connected */
	bool uploading;
	bool chunked; /* the request's body */
	bool out_end; /* the client sends no more over the tunnel */
	bool finished;
	bool closed;   /* the guest sends no more */
	bool told_end; /* and the client of the tunnel knows */
};

static void proxy_free(struct proxy *p)
{
	vm_busy(p->api->vms, p->place.vm_id, -1);
	if (p->guest)
		guest_stream_abort(p->guest);
	upstream_done(&p->reply);
	buf_done(&p->out);
	buf_done(&p->held);
	free(p);
}

/* Ends all of it, in words where the client has heard nothing yet. */
static void fail(struct proxy *p, const struct error *err)
{
	if (p->req) {
		http_on_gone(p->req, NULL, NULL);
		http_reply_error(p->req, err, NULL);
	} else if (p->tunnel) {
		http_tunnel_close(p->tunnel);
	} else if (p->stream) {
		http_stream_abort(p->stream);
	}
	proxy_free(p);
}

static void on_gone(void *data)
{
	proxy_free(data);
}

/* --- to the guest --- */

static void push(struct proxy *p)
{
	size_t n = buf_len(&p->out);

	if (!p->guest || !p->ready)
		return;
	if (n > 0)
		buf_consume(&p->out, guest_stream_write(p->guest, buf_bytes(&p->out), n));
	n = buf_len(&p->out);
	if (n == 0 && p->out_end && !p->finished) {
		p->finished = true;
		guest_stream_finish(p->guest);
	}
	if (p->tunnel)
		http_tunnel_pause(p->tunnel, n > OUT_FULL);
	else if (p->uploading && p->req && n <= OUT_FULL)
		http_upload_resume(p->req);
}

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct proxy *p = data;
	size_t n = len < OUT_FULL ? len : OUT_FULL;
	int r = 0;

	if (buf_len(&p->out) > OUT_FULL)
		return 0;
	if (p->chunked)
		r = buf_printf(&p->out, "%zx\r\n", n);
	if (r == 0)
		r = buf_append(&p->out, bytes, n);
	if (r == 0 && p->chunked)
		r = buf_append(&p->out, "\r\n", 2);
	if (r < 0)
		return 0;
	push(p);
	return n;
}

static void on_tunnel_data(void *data, const void *bytes, size_t len)
{
	struct proxy *p = data;

	if (buf_append(&p->out, bytes, len) == 0) {
		push(p);
		return;
	}
	http_tunnel_close(p->tunnel);
	proxy_free(p);
}

static void on_tunnel_end(void *data)
{
	struct proxy *p = data;

	p->out_end = true;
	push(p);
}

/* --- from the guest: the head --- */

static void on_drained(void *data);

/* False when all is over, `p` included. */
static bool begin_switched(struct proxy *p)
{
	static const struct http_tunnel_callbacks callbacks = {
		.data = on_tunnel_data, .end = on_tunnel_end, .drained = on_drained, .gone = on_gone
	};
	const char *protocol = upstream_field(&p->reply, "Upgrade");
	struct http_request *req;
	struct error err = ERROR_INIT;

	if (!protocol) {
		(void)error_set(&err, ERR_GUEST,
				"the server in the guest switches to a protocol without a name");
		fail(p, &err);
		return false;
	}
	proxy_put_reply(p->req, &p->reply, &p->place);
	req = TAKE_PTR(p->req);
	http_on_gone(req, NULL, NULL);
	p->tunnel = http_tunnel_begin(req, protocol, &callbacks, p);
	if (!p->tunnel) {
		proxy_free(p);
		return false;
	}
	return true;
}

static bool begin_reply(struct proxy *p)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.gone = on_gone };
	const struct upstream *u = &p->reply;
	struct http_request *req;

	if (u->state == UPSTREAM_SWITCHED)
		return begin_switched(p);
	proxy_put_reply(p->req, &p->reply, &p->place);
	req = TAKE_PTR(p->req);
	http_on_gone(req, NULL, NULL);
	if (u->status == 204 || u->status == 304) {
		http_reply_empty(req, u->status);
		proxy_free(p);
		return false;
	}
	if (u->has_length)
		http_stream_length(req, u->length);
	p->stream = http_stream_begin(req, u->status, NULL, &callbacks, p);
	if (!p->stream) {
		proxy_free(p);
		return false;
	}
	return true;
}

/* --- from the guest: what follows --- */

/* Takes bytes of the guest; false when all is over, `p` included. */
static bool take(struct proxy *p, const uint8_t *bytes, size_t len)
{
	struct error err = ERROR_INIT;
	const uint8_t *piece = NULL;
	size_t n = 0;
	int event;

	do {
		event = upstream_next(&p->reply, &bytes, &len, &piece, &n, &err);
		if (event < 0) {
			fail(p, &err);
			return false;
		}
		if (event == UPSTREAM_HEAD && !begin_reply(p))
			return false;
		if (event == UPSTREAM_BODY) {
			int r = p->tunnel ? http_tunnel_write(p->tunnel, piece, n)
					  : http_stream_write(p->stream, piece, n);

			if (r < 0) {
				(void)error_errno(&err, r, "reply of the guest");
				fail(p, &err);
				return false;
			}
		}
	} while (event == UPSTREAM_HEAD || event == UPSTREAM_BODY);
	if (event != UPSTREAM_END)
		return true;
	http_stream_end(p->stream);
	proxy_free(p);
	return false;
}

static bool has_room(const struct proxy *p)
{
	if (p->tunnel)
		return http_tunnel_room(p->tunnel) > LOW_ROOM;
	return !p->stream || http_stream_room(p->stream) > HTTP_STREAM_BUFFER / 2;
}

/* The guest has said its last word, and all of it has been handed back. */
static void over(struct proxy *p)
{
	struct error err = ERROR_INIT;

	if (p->tunnel && p->guest) {
		if (!p->told_end)
			http_tunnel_end(p->tunnel);
		p->told_end = true;
		return;
	}
	if (!p->tunnel && p->stream && upstream_closed(&p->reply)) {
		http_stream_end(p->stream);
		proxy_free(p);
		return;
	}
	(void)error_set(&err, ERR_GUEST,
			"the server at port %u of VM '%s' closed the connection before the end of "
			"its reply",
			p->place.port, p->name);
	fail(p, &err);
}

/* Hands back what was held, as far as there is room, then goes on with the guest. */
static void advance(struct proxy *p)
{
	if (p->uploading)
		return;
	while (buf_len(&p->held) > 0) {
		size_t n = buf_len(&p->held) < OUT_FULL ? buf_len(&p->held) : OUT_FULL;

		if (!has_room(p))
			return;
		if (!take(p, buf_bytes(&p->held), n))
			return;
		buf_consume(&p->held, n);
	}
	if (p->closed)
		over(p);
	else if (p->guest)
		guest_stream_resume(p->guest);
}

static void on_drained(void *data)
{
	advance(data);
}

static bool on_output(void *data, const void *bytes, size_t len)
{
	struct proxy *p = data;
	struct error err = ERROR_INIT;

	if (!p->uploading && buf_len(&p->held) == 0)
		return !take(p, bytes, len) || has_room(p);
	if (buf_append(&p->held, bytes, len) < 0) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory for the guest's reply");
		fail(p, &err);
		return true;
	}
	if (buf_len(&p->held) < HELD_FULL)
		return true;
	/* Neither side would ever go on. */
	p->uploading = false;
	advance(p);
	return false;
}

static void on_output_end(void *data)
{
	struct proxy *p = data;

	p->closed = true;
	p->uploading = false;
	advance(p);
}

static void on_ready(void *data, const struct guest_file_info *info)
{
	struct proxy *p = data;

	(void)info;
	p->ready = true;
	push(p);
}

static void on_writable(void *data)
{
	push(data);
}

static void on_end(void *data, const struct error *why)
{
	struct proxy *p = data;
	struct error err = *why;

	p->guest = NULL;
	if (p->ready) {
		on_output_end(p);
		return;
	}
	if (err.sys == ECONNREFUSED)
		(void)error_set(&err, ERR_GUEST,
				"nothing listens on port %u of VM '%s': start the server there, "
				"then try again; GET /vms/%s/ports lists what listens",
				p->place.port, p->name, p->name);
	fail(p, &err);
}

static void on_upload_end(void *data)
{
	struct proxy *p = data;

	p->uploading = false;
	/* OUT_FULL leaves room for it. */
	if (p->chunked)
		(void)!buf_append(&p->out, "0\r\n\r\n", 5);
	push(p);
	advance(p);
}

/* --- the beginning --- */

static int proxy_open(struct proxy *p, struct vm *vm, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_ready,
								 .output = on_output,
								 .output_end = on_output_end,
								 .writable = on_writable,
								 .end = on_end };
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_gone };
	struct http_request *req = p->req;
	enum proxy_body body = p->chunked     ? PROXY_BODY_CHUNKED
			       : p->uploading ? PROXY_BODY_LENGTH
					      : PROXY_BODY_NONE;
	int r = proxy_put_request(&p->out, req, &p->place, body, p->reply.may_switch);

	if (r < 0)
		return error_errno(err, r, "request for the guest");
	r = guest_tunnel_open(vm_guest(vm), "localhost", p->place.port, &callbacks, p, &p->guest,
			      err);
	if (r < 0)
		return r;
	if (p->uploading)
		http_upload_begin(req, &upload, p);
	else
		http_on_gone(req, on_gone, p);
	return 0;
}

static void begin(struct http_request *req, struct api *api, struct vm *vm, uint16_t port)
{
	const char *method = http_method(req);
	bool get = streq(method, "GET") || streq(method, "HEAD");
	struct proxy *p = calloc(1, sizeof(*p));
	struct error err = ERROR_INIT;

	if (!p) {
		(void)error_errno(&err, -ENOMEM, "proxy");
		http_reply_error(req, &err, NULL);
		return;
	}
	*p = (struct proxy){ .api = api,
			     .req = req,
			     .place = { .port = port, .preview = http_by_preview(req) },
			     .uploading = !get,
			     .chunked = http_header(req, "Transfer-Encoding") != NULL };
	(void)snprintf(p->place.vm_id, sizeof(p->place.vm_id), "%s", vm_row(vm)->id);
	(void)snprintf(p->name, sizeof(p->name), "%s", vm_row(vm)->name);
	buf_init(&p->out, OUT_MAX);
	buf_init(&p->held, HELD_MAX);
	upstream_init(&p->reply, streq(method, "HEAD"),
		      streq(method, "GET") && http_header(req, "Upgrade") &&
			      upstream_list_has(http_header(req, "Connection"), "upgrade"));
	vm_busy(api->vms, p->place.vm_id, 1);
	if (proxy_open(p, vm, &err) < 0) {
		proxy_free(p);
		http_reply_error(req, &err, NULL);
	}
}

static void proxy(struct http_request *req, void *context)
{
	struct api *api = context;
	uint16_t port = (uint16_t)strtoul(http_param(req, "port"), NULL, 10);
	const char *method = http_method(req);
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0 && http_by_cookie(req)) {
		if (streq(method, "GET") || streq(method, "HEAD")) {
			http_preview_redirect(req, vm_row(vm)->id, port, proxy_rest(req));
			return;
		}
		r = error_set(&err, ERR_FORBIDDEN,
			      "a page of the dashboard talks to no server in a guest: open its "
			      "preview, or use a token");
	}
	if (r == 0 && api_wake_first(req, api, vm, proxy))
		return;
	if (r == 0)
		r = vm_state_allows(vm_get_state(vm), VM_VERB_EXEC, vm_row(vm)->name, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	vm_touch(vm);
	begin(req, api, vm, port);
}

#define PROXY(method)                                                    \
	void api_proxy_##method(struct http_request *req, void *context) \
	{                                                                \
		proxy(req, context);                                     \
	}
PROXY(get)
PROXY(put)
PROXY(post)
PROXY(delete)
PROXY(patch)
PROXY(options)
#undef PROXY
