/* SPDX-License-Identifier: Apache-2.0 */
/* /vms/{vm}/logs: the serial console, from its bounded log and live. */
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/api/handlers.h"

struct follower {
	struct http_stream *stream;
	struct console_listener *listener;
};

/* A reader that can't keep up loses bytes, not the guest its console. */
static void on_bytes(void *data, const void *bytes, size_t len)
{
	struct follower *f = data;

	(void)http_stream_write(f->stream, bytes, len);
}

static void on_console_end(void *data)
{
	struct follower *f = data;

	http_stream_end(f->stream);
	free(f);
}

static void on_client_gone(void *data)
{
	struct follower *f = data;

	console_unlisten(f->listener);
	free(f);
}

static void follow(struct http_request *req, struct vm *vm, const char *log, size_t len)
{
	static const struct http_stream_callbacks callbacks = { .gone = on_client_gone };
	struct follower *f = calloc(1, sizeof(*f));
	struct error err;

	if (f)
		f->listener = console_listen(vm_console(vm), on_bytes, on_console_end, f);
	if (!f || !f->listener) {
		free(f);
		(void)error_set(&err, ERR_NO_ROOM, "no memory to follow the log");
		http_reply_error(req, &err, NULL);
		return;
	}
	f->stream = http_stream_begin(req, 200, "text/plain; charset=utf-8", &callbacks, f);
	if (!f->stream) {
		console_unlisten(f->listener);
		free(f);
		return;
	}
	/* The stream's buffer holds less than the log may: the newest part of it is shown. */
	if (len > HTTP_STREAM_BUFFER / 2) {
		log += len - HTTP_STREAM_BUFFER / 2;
		len = HTTP_STREAM_BUFFER / 2;
	}
	(void)http_stream_write(f->stream, log, len);
}

void api_vm_logs(struct http_request *req, void *context)
{
	struct api *api = context;
	size_t tail = (size_t)api_query_number(req, "tail_bytes", 65536);
	autofree char *log = NULL;
	struct vm *vm = NULL;
	struct error err;
	size_t len = 0;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_console_log(vm, &log, &len, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (len < tail)
		tail = len;
	if (api_query_bool(req, "follow", false) && vm_console(vm))
		follow(req, vm, log + len - tail, tail);
	else
		http_reply_bytes(req, 200, "text/plain; charset=utf-8", log + len - tail, tail);
}
