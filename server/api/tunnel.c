/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/tunnels/{port}: a TCP connection made by the guest, as the bytes of an upgraded
 * connection. Each side is read only as fast as the other takes it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/api/handlers.h"
#include "server/vm/idle.h"

enum { INPUT_MAX = 256 * 1024, LOW_ROOM = 64 * 1024 };

struct tunnel {
	struct http_request *req;   /* until the guest has connected */
	struct http_tunnel *client; /* from then on */
	struct guest_stream *guest;
	struct buf input; /* of the client, not yet taken */
	bool input_end;
	bool finished; /* and the guest has been told */
	struct api *api;
	char vm_id[ID_LEN + 1];
};

static void tunnel_free(struct tunnel *t)
{
	vm_busy(t->api->vms, t->vm_id, -1);
	if (t->guest)
		guest_stream_abort(t->guest);
	buf_done(&t->input);
	free(t);
}

/* --- the client's side --- */

static void push_input(struct tunnel *t)
{
	size_t n = buf_len(&t->input);

	if (n > 0)
		buf_consume(&t->input, guest_stream_write(t->guest, buf_bytes(&t->input), n));
	if (buf_len(&t->input) == 0 && t->input_end && !t->finished) {
		t->finished = true;
		guest_stream_finish(t->guest);
	}
	http_tunnel_pause(t->client, buf_len(&t->input) > 0);
}

static void on_client_data(void *data, const void *bytes, size_t len)
{
	struct tunnel *t = data;

	if (buf_append(&t->input, bytes, len) == 0) {
		push_input(t);
		return;
	}
	http_tunnel_close(t->client);
	tunnel_free(t);
}

static void on_client_end(void *data)
{
	struct tunnel *t = data;

	t->input_end = true;
	push_input(t);
}

static void on_client_drained(void *data)
{
	struct tunnel *t = data;

	guest_stream_resume(t->guest);
}

static void on_client_gone(void *data)
{
	tunnel_free(data);
}

/* --- the guest's side --- */

static void on_ready(void *data, const struct guest_file_info *info)
{
	static const struct http_tunnel_callbacks callbacks = { .data = on_client_data,
								.end = on_client_end,
								.drained = on_client_drained,
								.gone = on_client_gone };
	struct tunnel *t = data;
	struct http_request *req = TAKE_PTR(t->req);

	(void)info;
	http_on_gone(req, NULL, NULL);
	t->client = http_tunnel_begin(req, "tcp", &callbacks, t);
	if (!t->client)
		tunnel_free(t);
}

static bool on_output(void *data, const void *bytes, size_t len)
{
	struct tunnel *t = data;

	if (http_tunnel_write(t->client, bytes, len) < 0) {
		http_tunnel_close(t->client);
		tunnel_free(t);
		return true;
	}
	return http_tunnel_room(t->client) > LOW_ROOM;
}

static void on_output_end(void *data)
{
	struct tunnel *t = data;

	http_tunnel_end(t->client);
}

static void on_writable(void *data)
{
	struct tunnel *t = data;

	if (t->client)
		push_input(t);
}

static void on_end(void *data, const struct error *err)
{
	struct tunnel *t = data;

	t->guest = NULL;
	if (t->req) {
		http_on_gone(t->req, NULL, NULL);
		http_reply_error(t->req, err, NULL);
	} else if (t->client) {
		http_tunnel_close(t->client);
	}
	tunnel_free(t);
}

/* --- the beginning --- */

static int begin(struct tunnel *t, struct vm *vm, uint16_t port, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_ready,
								 .output = on_output,
								 .output_end = on_output_end,
								 .writable = on_writable,
								 .end = on_end };
	const char *host = http_query(t->req, "host");

	return guest_tunnel_open(vm_guest(vm), host ? host : "localhost", port, &callbacks, t,
				 &t->guest, err);
}

void api_tunnel_open(struct http_request *req, void *context)
{
	struct api *api = context;
	long port = strtol(http_param(req, "port"), NULL, 10);
	struct tunnel *t = NULL;
	struct vm *vm = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0 && !http_wants_upgrade(req, "tcp"))
		r = error_set(&err, ERR_BAD_REQUEST, "a tunnel wants an upgrade to tcp");
	if (r == 0 && api_wake_first(req, api, vm, api_tunnel_open))
		return;
	if (r == 0)
		r = vm_state_allows(vm_get_state(vm), VM_VERB_EXEC, vm_row(vm)->name, &err);
	if (r == 0) {
		t = calloc(1, sizeof(*t));
		r = t ? 0 : error_set(&err, ERR_NO_ROOM, "no memory for a tunnel");
	}
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	*t = (struct tunnel){ .req = req, .api = api };
	buf_init(&t->input, INPUT_MAX);
	(void)snprintf(t->vm_id, sizeof(t->vm_id), "%s", vm_row(vm)->id);
	vm_busy(api->vms, t->vm_id, 1);
	http_on_gone(req, on_client_gone, t);
	if (begin(t, vm, (uint16_t)port, &err) < 0) {
		http_on_gone(req, NULL, NULL);
		tunnel_free(t);
		http_reply_error(req, &err, NULL);
	}
}
