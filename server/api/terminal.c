/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/terminal: an exec with a terminal, on a WebSocket. Binary messages are the terminal's
 * bytes in both directions, whole or in any pieces; text messages are JSON objects about them. The
 * session is the exec: it stays when the connection breaks, and is taken up again by its id and the
 * offset of the first byte that was not seen.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/frames.h"
#include "server/vm/execs.h"

enum {
	CHUNK = 16 * 1024,
	INPUT_MAX = 2 * HTTP_WS_MESSAGE_MAX, /* what has come before reading stopped */
	SCROLLBACK = 64 * 1024,              /* shown of a session that is joined */
	WS_NORMAL = 1000,
	WS_BAD_DATA = 1007,
	WS_FAILED = 1011,
};

/* A login shell of the user, whatever the image has. */
#define LOGIN_SHELL "[ -x \"$SHELL\" ] || SHELL=/bin/sh; exec \"$SHELL\" -l"

struct terminal {
	struct http_ws *ws;
	struct vm_exec *exec;
	struct vm_exec_watch *watch;
	struct buf input; /* not yet taken */
	uint64_t offset;
	bool greeted;
};

static void terminal_free(struct terminal *t)
{
	vm_exec_unwatch(t->watch);
	buf_done(&t->input);
	free(t);
}

static void on_gone(void *data)
{
	terminal_free(data);
}

static void close_terminal(struct terminal *t, uint16_t code, const char *reason)
{
	http_ws_close(t->ws, code, reason);
	terminal_free(t);
}

/* Steals `message`. */
static void send_json(struct terminal *t, json_t *message)
{
	autofree char *text = json_text(message);

	json_decref(message);
	if (text)
		(void)http_ws_send(t->ws, true, text, strlen(text));
}

/* The session stays; whoever wants goes on with it when there is a server again. */
static void on_ending(void *data)
{
	send_json(data, api_end_frame());
	terminal_free(data);
}

/* --- out of the guest --- */

static void finish(struct terminal *t)
{
	const struct exec_row *row = vm_exec_row(t->exec);
	const struct error *why = vm_exec_error(t->exec);

	if (why->code != ERR_NONE) {
		send_json(t, api_error_frame(why));
		close_terminal(t, WS_FAILED, "the session was lost");
		return;
	}
	send_json(t, api_exit_frame((int)row->exit_code, (int)row->signal, row->timed_out,
				    (double)(row->ended_ms - row->started_ms)));
	close_terminal(t, WS_NORMAL, "ended");
}

static void greet(struct terminal *t)
{
	t->greeted = true;
	send_json(t, json_pack("{s:s, s:s, s:I}", "type", "session", "id", vm_exec_row(t->exec)->id,
			       "offset", (json_int_t)t->offset));
}

static void skip_lost(struct terminal *t)
{
	uint64_t base = vm_exec_base(t->exec);

	if (t->offset >= base)
		return;
	send_json(t, json_pack("{s:s, s:I, s:I}", "type", "skipped", "from", (json_int_t)t->offset,
			       "to", (json_int_t)base));
	t->offset = base;
}

/* The terminal may be gone when this returns. */
static void pump(struct terminal *t)
{
	unsigned char bytes[CHUNK];
	bool is_stderr;
	ssize_t n = 1;

	if (vm_exec_starting(t->exec))
		return;
	if (!t->greeted)
		greet(t);
	while (n > 0 && http_ws_room(t->ws) > 2 * sizeof(bytes)) {
		skip_lost(t);
		n = vm_exec_read(t->exec, t->offset, bytes, sizeof(bytes), &is_stderr);
		if (n > 0 && http_ws_send(t->ws, false, bytes, (size_t)n) == 0)
			t->offset += (uint64_t)n;
	}
	if (n < 0)
		close_terminal(t, WS_FAILED, "the log can't be read");
	else if (n == 0 && vm_exec_ended(t->exec))
		finish(t);
}

static void on_drained(void *data)
{
	pump(data);
}

/* --- into the guest --- */

static void push_input(struct terminal *t)
{
	while (buf_len(&t->input) > 0) {
		size_t n = vm_exec_write(t->exec, buf_bytes(&t->input), buf_len(&t->input));

		if (n == 0)
			break;
		buf_consume(&t->input, n);
	}
	http_ws_pause(t->ws, buf_len(&t->input) > 0);
}

static void take_input(struct terminal *t, const void *bytes, size_t len)
{
	if (buf_append(&t->input, bytes, len) < 0) {
		close_terminal(t, WS_FAILED, "too much input at once");
		return;
	}
	push_input(t);
}

static bool size_ok(json_int_t n)
{
	return n >= 1 && n <= 4096;
}

static void take_json(struct terminal *t, const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	json_auto_t *message = json_parse(text, len, &err);
	const char *type = json_string_value(json_object_get(message, "type"));
	json_int_t rows = json_integer_value(json_object_get(message, "rows"));
	json_int_t cols = json_integer_value(json_object_get(message, "cols"));
	const json_t *data = json_object_get(message, "data");
	struct vm_exec *exec = t->exec;

	if (type && streq(type, "resize") && size_ok(rows) && size_ok(cols)) {
		vm_exec_resize(exec, (uint16_t)rows, (uint16_t)cols);
	} else if (type && streq(type, "input") && json_is_string(data)) {
		take_input(t, json_string_value(data), json_string_length(data));
	} else if (type && streq(type, "close")) {
		close_terminal(t, WS_NORMAL, "closed");
		if (vm_exec_row(exec)->temporary)
			vm_exec_delete(exec);
	} else {
		close_terminal(t, WS_BAD_DATA, "not a message of this protocol");
	}
}

static void on_message(void *data, bool text, const void *bytes, size_t len)
{
	if (text)
		take_json(data, bytes, len);
	else
		take_input(data, bytes, len);
}

static void on_news(void *data, enum vm_exec_news news)
{
	struct terminal *t = data;

	if (news == VM_EXEC_GONE) {
		t->watch = NULL;
		close_terminal(t, WS_FAILED, "the session was deleted");
	} else if (news == VM_EXEC_WRITABLE) {
		push_input(t);
	} else {
		pump(t);
	}
}

/* --- the beginning --- */

static int start_session(struct http_request *req, struct vm *vm, struct vm_exec **ret_exec,
			 struct error *err)
{
	json_auto_t *argv = json_pack("[s, s, s]", "/bin/sh", "-c", LOGIN_SHELL);
	struct vm_exec_spec spec = { .guest = { .argv = argv,
						.user = http_query(req, "user"),
						.cwd = http_query(req, "cwd"),
						.tty = true,
						.stdin_open = true },
				     .temporary = true };

	if (!argv)
		return error_errno(err, -ENOMEM, "terminal");
	spec.guest.rows = (uint16_t)api_query_number(req, "rows", 24);
	spec.guest.cols = (uint16_t)api_query_number(req, "cols", 80);
	return vm_exec_start(vm, &spec, http_principal(req), ret_exec, err);
}

static int join_session(struct http_request *req, struct vm *vm, const char *id,
			struct vm_exec **ret_exec, struct error *err)
{
	int r = vm_exec_get(vm, id, ret_exec, err);

	if (r == 0 && !vm_exec_row(*ret_exec)->tty)
		r = error_set(err, ERR_STATE, "exec %s has no terminal", id);
	if (r == 0 && (uint64_t)api_query_number(req, "from", 0) > vm_exec_end(*ret_exec))
		r = error_set(err, ERR_INVALID, "?from: exec %s has not written so much", id);
	if (r == 0 && http_query(req, "rows") && http_query(req, "cols"))
		vm_exec_resize(*ret_exec, (uint16_t)api_query_number(req, "rows", 24),
			       (uint16_t)api_query_number(req, "cols", 80));
	return r;
}

static uint64_t first_offset(const struct http_request *req, struct vm_exec *exec)
{
	uint64_t end = vm_exec_end(exec);

	if (http_query(req, "from"))
		return (uint64_t)api_query_number(req, "from", 0);
	return end > SCROLLBACK ? end - SCROLLBACK : 0;
}

void api_vm_terminal(struct http_request *req, void *context)
{
	static const struct http_ws_callbacks callbacks = {
		.message = on_message, .drained = on_drained, .ending = on_ending, .gone = on_gone
	};
	struct api *api = context;
	const char *session = http_query(req, "session");
	struct vm_exec *exec = NULL;
	struct terminal *t = NULL;
	struct vm *vm = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0 && !http_wants_upgrade(req, "websocket"))
		r = error_set(&err, ERR_BAD_REQUEST, "a terminal wants a WebSocket handshake");
	if (r == 0 && api_wake_first(req, api, vm, api_vm_terminal))
		return;
	if (r == 0)
		r = session ? join_session(req, vm, session, &exec, &err)
			    : start_session(req, vm, &exec, &err);
	if (r == 0) {
		t = calloc(1, sizeof(*t));
		if (t)
			*t = (struct terminal){ .exec = exec,
						.offset = first_offset(req, exec),
						.watch = vm_exec_watch(exec, on_news, t) };
		if (!t || !t->watch)
			r = error_errno(&err, -ENOMEM, "terminal");
	}
	if (r < 0) {
		free(t);
		http_reply_error(req, &err, NULL);
		return;
	}
	buf_init(&t->input, INPUT_MAX);
	t->ws = http_ws_accept(req, &callbacks, t);
	if (!t->ws)
		terminal_free(t);
	else
		pump(t);
}
