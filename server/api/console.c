/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/console: the serial console on a WebSocket, raw bytes in binary messages. What is typed
 * goes to the guest where its VMM has a way for it.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/api/handlers.h"

enum { TAIL = 64 * 1024, WS_NORMAL = 1000 };

struct line {
	struct http_ws *ws;
	struct console *console;
	struct console_listener *listener;
};

/* A reader that can't keep up loses bytes, not the guest its console. */
static void on_bytes(void *data, const void *bytes, size_t len)
{
	struct line *line = data;

	(void)http_ws_send(line->ws, false, bytes, len);
}

static void on_console_end(void *data)
{
	struct line *line = data;

	http_ws_close(line->ws, WS_NORMAL, "the VM has ended");
	free(line);
}

static void on_gone(void *data)
{
	struct line *line = data;

	console_unlisten(line->listener);
	free(line);
}

static void on_message(void *data, bool text, const void *bytes, size_t len)
{
	struct line *line = data;

	(void)text;
	console_write(line->console, bytes, len);
}

static int check(struct http_request *req, struct vm *vm, struct error *err)
{
	if (!http_wants_upgrade(req, "websocket"))
		return error_set(err, ERR_BAD_REQUEST, "a console wants a WebSocket handshake");
	if (!vm_console(vm))
		return error_set(err, ERR_STATE, "VM '%s' has no console now", vm_row(vm)->name);
	return 0;
}

void api_vm_console(struct http_request *req, void *context)
{
	static const struct http_ws_callbacks callbacks = { .message = on_message,
							    .gone = on_gone };
	struct api *api = context;
	struct line *line = NULL;
	autofree char *log = NULL;
	struct vm *vm = NULL;
	struct error err;
	size_t len = 0;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = check(req, vm, &err);
	if (r == 0)
		r = vm_console_log(vm, &log, &len, &err);
	if (r == 0) {
		line = calloc(1, sizeof(*line));
		if (line)
			*line = (struct line){
				.console = vm_console(vm),
				.listener = console_listen(vm_console(vm), on_bytes, on_console_end,
							   line),
			};
		if (!line || !line->listener)
			r = error_errno(&err, -ENOMEM, "console");
	}
	if (r < 0) {
		free(line);
		http_reply_error(req, &err, NULL);
		return;
	}
	line->ws = http_ws_accept(req, &callbacks, line);
	if (!line->ws) {
		on_gone(line);
		return;
	}
	if (len > 0)
		(void)http_ws_send(line->ws, false, log + len - (len < TAIL ? len : TAIL),
				   len < TAIL ? len : TAIL);
}
