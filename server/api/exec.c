/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/exec: one command, and its outcome in the form that the client accepts: a JSON object
 * at the end, NDJSON frames as they come, or the raw bytes with the exit code in a trailer. The
 * command ends when its client leaves.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/utf8.h"
#include "lib/json/json.h"
#include "server/api/frames.h"
#include "server/vm/exec_words.h"
#include "server/vm/idle.h"

enum { OUTPUT_MAX = 4 * 1024 * 1024 };

enum form { FORM_JSON, FORM_NDJSON, FORM_RAW };

struct exec {
	struct http_request *req;   /* until a stream begins or the reply is sent */
	struct http_stream *stream; /* NDJSON and raw, from the first output on */
	struct guest_exec *handle;
	struct api *api;
	char vm_id[ID_LEN + 1];
	enum form form;
	int64_t start_us;
	char *input;
	size_t input_len;
	size_t input_off;
	struct buf out;
	struct buf err;
	bool truncated;
	bool ended;
	bool busy; /* the VM knows that a command runs in it */
};

static void exec_free(struct exec *e)
{
	if (e->busy)
		vm_busy(e->api->vms, e->vm_id, -1);
	free(e->input);
	buf_done(&e->out);
	buf_done(&e->err);
	free(e);
}

static void touch(struct exec *e)
{
	struct vm *vm = vms_find(e->api->vms, e->vm_id);

	if (vm)
		vm_touch(vm);
}

static void on_client_gone(void *data)
{
	struct exec *e = data;

	e->req = NULL;
	e->stream = NULL;
	guest_exec_kill(e->handle);
	exec_free(e);
}

static void on_drained(void *data)
{
	struct exec *e = data;

	if (!e->ended)
		guest_exec_resume(e->handle);
}

static void end_error(struct exec *e, const struct error *err)
{
	if (e->req) {
		http_reply_error(e->req, err, NULL);
	} else if (e->stream && e->form == FORM_NDJSON) {
		api_write_frame(e->stream, api_error_frame(err));
		http_stream_end(e->stream);
	} else if (e->stream) {
		http_stream_abort(e->stream);
	}
}

/* Raw bytes have no way to say it: they break off, without the trailer. */
static void on_ending(void *data)
{
	struct exec *e = data;
	struct error err = ERROR_INIT;

	guest_exec_kill(e->handle);
	(void)error_set(&err, ERR_UNAVAILABLE, "the server ends, and the command with it");
	end_error(e, &err);
	exec_free(e);
}

static bool begin_stream(struct exec *e)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.ending = on_ending,
								.gone = on_client_gone };

	if (e->stream)
		return true;
	if (e->form == FORM_RAW)
		http_reply_header(e->req, "Trailer", "Banger-Exit-Code");
	e->stream = http_stream_begin(e->req, 200,
				      e->form == FORM_RAW ? "text/plain; charset=utf-8"
							  : "application/x-ndjson",
				      &callbacks, e);
	e->req = NULL;
	return e->stream != NULL;
}

/* --- output --- */

/* What does not fit is counted as cut; the command goes on. */
static void keep(struct exec *e, struct buf *b, const void *bytes, size_t len)
{
	size_t room = b->max - buf_len(b);

	if (len > room) {
		e->truncated = true;
		len = room;
	}
	if (buf_append(b, bytes, len) < 0)
		e->truncated = true;
}

static bool has_room(const struct exec *e)
{
	return http_stream_room(e->stream) > FRAME_ROOM;
}

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	struct exec *e = data;
	const unsigned char *p = bytes;

	touch(e);
	if (e->form == FORM_JSON) {
		keep(e, is_stderr ? &e->err : &e->out, bytes, len);
		return true;
	}
	if (!begin_stream(e))
		return true;
	while (len > 0) {
		size_t n = len < FRAME_BYTES_MAX ? len : FRAME_BYTES_MAX;

		if (e->form == FORM_RAW)
			(void)http_stream_write(e->stream, p, n);
		else
			api_write_frame(e->stream, api_output_frame(is_stderr, p, n));
		p += n;
		len -= n;
	}
	return has_room(e);
}

/* --- input --- */

static void on_writable(void *data)
{
	struct exec *e = data;

	if (!e->input)
		return;
	e->input_off +=
		guest_exec_write(e->handle, e->input + e->input_off, e->input_len - e->input_off);
	if (e->input_off < e->input_len)
		return;
	free(e->input);
	e->input = NULL;
	guest_exec_close_stdin(e->handle);
}

/* --- the end --- */

static json_t *number_or_null(bool there, int n)
{
	return there ? json_integer(n) : json_null();
}

static double duration_ms(const struct exec *e)
{
	return (double)(clock_mono_us() - e->start_us) / 1000.0;
}

static void end_json(struct exec *e, const struct guest_exec_end *end)
{
	autofree char *out = utf8_text(buf_len(&e->out) ? buf_bytes(&e->out) : (const uint8_t *)"",
				       buf_len(&e->out));
	autofree char *errs = utf8_text(buf_len(&e->err) ? buf_bytes(&e->err) : (const uint8_t *)"",
					buf_len(&e->err));

	http_reply_json(e->req, 200,
			json_pack("{s:o, s:o, s:s, s:s, s:b, s:b, s:f}", "exit_code",
				  number_or_null(end->exited, end->exit_code), "signal",
				  number_or_null(!end->exited, end->signal), "stdout",
				  out ? out : "", "stderr", errs ? errs : "", "truncated",
				  e->truncated || !out || !errs, "timed_out", end->timed_out,
				  "duration_ms", duration_ms(e)));
}

static void end_ndjson(struct exec *e, const struct guest_exec_end *end)
{
	if (!begin_stream(e))
		return;
	api_write_frame(e->stream, api_exit_frame(end->exited ? end->exit_code : -1, end->signal,
						  end->timed_out, duration_ms(e)));
	http_stream_end(e->stream);
}

static void end_raw(struct exec *e, const struct guest_exec_end *end)
{
	if (!begin_stream(e))
		return;
	api_exit_trailer(e->stream, end->exited ? end->exit_code : -1, end->signal);
	http_stream_end(e->stream);
}

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct exec *e = data;

	e->ended = true;
	e->handle = NULL;
	touch(e);
	if (e->req)
		http_on_gone(e->req, NULL, NULL);
	if (end->error.code != ERR_NONE)
		end_error(e, &end->error);
	else if (e->form == FORM_JSON)
		end_json(e, end);
	else if (e->form == FORM_NDJSON)
		end_ndjson(e, end);
	else
		end_raw(e, end);
	exec_free(e);
}

/* --- the beginning --- */

struct exec_body {
	const json_t *argv;
	const json_t *env;
	const char *cwd;
	const char *user;
	bool tty;
	const char *input;
	uint32_t timeout_s;
};

static const struct json_field fields[] = {
	{ "argv", JSON_FIELD_VALUE, offsetof(struct exec_body, argv), false },
	{ "env", JSON_FIELD_VALUE, offsetof(struct exec_body, env), false },
	{ "cwd", JSON_FIELD_STRING, offsetof(struct exec_body, cwd), false },
	{ "user", JSON_FIELD_STRING, offsetof(struct exec_body, user), false },
	{ "tty", JSON_FIELD_BOOL, offsetof(struct exec_body, tty), false },
	{ "stdin", JSON_FIELD_STRING, offsetof(struct exec_body, input), false },
	{ "timeout_s", JSON_FIELD_U32, offsetof(struct exec_body, timeout_s), false },
};

static enum form form_of(const struct http_request *req)
{
	if (http_accepts(req, "application/json"))
		return FORM_JSON;
	return http_accepts(req, "application/x-ndjson") ? FORM_NDJSON : FORM_RAW;
}

static int start(struct exec *e, struct vm *vm, const struct exec_body *b, struct error *err)
{
	static const struct guest_exec_callbacks callbacks = { .output = on_output,
							       .writable = on_writable,
							       .end = on_end };
	struct guest_exec_spec spec = { .argv = b->argv,
					.env = b->env,
					.cwd = b->cwd,
					.user = b->user,
					.tty = b->tty,
					.timeout_ms = b->timeout_s > UINT32_MAX / 1000
							      ? 0
							      : b->timeout_s * 1000,
					.stdin_open = b->input != NULL };
	struct exec_words words CLEANUP(exec_words_done) = { .config = NULL };
	int r = vm_state_allows(vm_get_state(vm), VM_VERB_EXEC, vm_row(vm)->name, err);

	if (r == 0)
		r = vm_exec_words(vm, &spec, &words, err);
	if (r == 0 && b->input) {
		e->input = strdup(b->input);
		e->input_len = strlen(b->input);
		if (!e->input)
			r = error_errno(err, -ENOMEM, "exec");
	}
	if (r == 0)
		r = guest_exec_start(vm_guest(vm), id_new().s, &spec, &callbacks, e, &e->handle,
				     err);
	return r;
}

void api_vm_exec(struct http_request *req, void *context)
{
	struct api *api = context;
	struct exec_body body = { 0 };
	struct exec *e = NULL;
	struct vm *vm = NULL;
	struct error err;
	int r = json_decode(http_body(req), fields, ARRAY_SIZE(fields), &body, &err);

	if (r == 0)
		r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);
	if (r == 0 && api_wake_first(req, api, vm, api_vm_exec))
		return;
	if (r == 0) {
		e = calloc(1, sizeof(*e));
		r = e ? 0 : error_errno(&err, -ENOMEM, "exec");
	}
	if (r == 0) {
		*e = (struct exec){
			.req = req, .api = api, .form = form_of(req), .start_us = clock_mono_us()
		};
		(void)snprintf(e->vm_id, sizeof(e->vm_id), "%s", vm_row(vm)->id);
		buf_init(&e->out, OUTPUT_MAX);
		buf_init(&e->err, OUTPUT_MAX);
		r = start(e, vm, &body, &err);
	}
	if (r < 0) {
		if (e)
			exec_free(e);
		http_reply_error(req, &err, NULL);
		return;
	}
	e->busy = true;
	vm_busy(api->vms, e->vm_id, 1);
	http_on_gone(req, on_client_gone, e);
	on_writable(e);
}
