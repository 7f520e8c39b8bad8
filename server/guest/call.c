/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/link/protocol.h"
#include "server/guest/internal.h"

struct call {
	struct call *next;
	struct guest *guest;
	struct link_stream *stream; /* NULL: waits for the link */
	guest_reply_fn *fn;
	void *data;
	char path[64];
	char *text; /* the body; NULL for none */
	size_t sent;
	int status;
	struct buf reply;
	struct loop_timer *limit;
};

/* Takes it out of the list: nobody but the caller knows it then. */
static void call_free(struct call *call)
{
	for (struct call **p = &guest_lists(call->guest)->calls; *p; p = &(*p)->next) {
		if (*p == call) {
			*p = call->next;
			break;
		}
	}
	if (call->stream)
		link_stream_reset(call->stream);
	loop_timer_free(call->limit);
	buf_done(&call->reply);
	free(call->text);
	free(call);
}

static void call_end(struct call *call, const json_t *reply, const struct error *err)
{
	guest_reply_fn *fn = call->fn;
	void *data = call->data;

	call_free(call);
	fn(data, reply, err);
}

/* "error" and "errno" of the agent; what it says is quoted, not trusted. */
static void agent_error(int status, const json_t *reply, struct error *err)
{
	const char *text = json_string_value(json_object_get(reply, "error"));
	json_int_t sys = json_integer_value(json_object_get(reply, "errno"));

	(void)error_set(err, status == 404 ? ERR_NOT_FOUND : ERR_GUEST, "the guest's agent: %.300s",
			text ? text : "failed without a reason");
	err->sys = sys > 0 && sys < 4096 ? (int)sys : 0;
}

static void on_reply(void *data, int status)
{
	struct call *call = data;

	call->status = status;
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct call *call = data;
	struct error err = ERROR_INIT;

	if (buf_append(&call->reply, bytes, len) < 0) {
		(void)error_set(&err, ERR_GUEST, "the guest's answer is too large");
		call_end(call, NULL, &err);
	}
	return true;
}

static void on_end(void *data)
{
	struct call *call = data;
	struct error err = ERROR_INIT;
	json_auto_t *reply =
		json_parse((const char *)buf_bytes(&call->reply), buf_len(&call->reply), &err);

	if (reply && call->status != 200) {
		agent_error(call->status, reply, &err);
		call_end(call, NULL, &err);
	} else if (!reply) {
		err.code = ERR_GUEST;
		(void)error_wrap(&err, "the guest's answer");
		call_end(call, NULL, &err);
	} else {
		call_end(call, reply, &err);
	}
}

static void on_writable(void *data)
{
	struct call *call = data;
	size_t len = strlen(call->text);

	call->sent += link_stream_write(call->stream, call->text + call->sent, len - call->sent);
	if (call->sent == len)
		link_stream_finish(call->stream);
}

static void on_closed(void *data, const char *why)
{
	struct call *call = data;
	struct error err = ERROR_INIT;

	call->stream = NULL;
	(void)error_set(&err, ERR_GUEST, "the call to the guest broke off: %s",
			why ? why : "no answer");
	call_end(call, NULL, &err);
}

static const struct link_stream_ops call_ops = { .reply = on_reply,
						 .data = on_data,
						 .end = on_end,
						 .writable = on_writable,
						 .closed = on_closed };

static void on_limit(void *data)
{
	struct call *call = data;
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_TIMEOUT, "the guest did not answer in time");
	call_end(call, NULL, &err);
}

static void call_begin(struct call *call)
{
	struct link_stream *stream;

	if (call->stream || !guest_is_up(call->guest))
		return;
	stream = guest_open_stream(call->guest, "POST", call->path, call->text != NULL, &call_ops,
				   call);
	if (!stream)
		return;
	call->stream = stream;
	if (call->text)
		on_writable(call);
}

void guest_call(struct guest *guest, const char *path, json_t *body, int timeout_ms,
		guest_reply_fn *fn, void *data)
{
	struct call *call = calloc(1, sizeof(*call));
	struct error err = ERROR_INIT;
	char *text = body ? json_text(body) : NULL;
	bool ok = call && (text || !body) && strlen(path) < sizeof(call->path) &&
		  loop_timer_new(guest_loop(guest), on_limit, call, &call->limit) == 0;

	json_decref(body);
	if (!ok) {
		free(call);
		free(text);
		(void)error_errno(&err, -ENOMEM, "call the guest's agent");
		fn(data, NULL, &err);
		return;
	}
	call->guest = guest;
	call->fn = fn;
	call->data = data;
	call->text = text;
	memcpy(call->path, path, strlen(path) + 1);
	buf_init(&call->reply, LINK_JSON_MAX);
	call->next = guest_lists(guest)->calls;
	guest_lists(guest)->calls = call;
	loop_timer_set(call->limit, (int64_t)timeout_ms * 1000);
	call_begin(call);
}

/* Beginning one can't end another, so the list stays whole. */
void calls_link_up(struct guest *guest)
{
	for (struct call *call = guest_lists(guest)->calls; call; call = call->next)
		call_begin(call);
}

void calls_end_all(struct guest *guest, const struct error *why)
{
	while (guest_lists(guest)->calls)
		call_end(guest_lists(guest)->calls, NULL, why);
}
