/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent says of an exec, frame by frame (lib/link/protocol.h); none of it is trusted. */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/guest/exec_internal.h"

static int on_output(struct guest_exec *exec, bool is_stderr, const uint8_t *payload, size_t len)
{
	uint64_t offset;

	if (len < 8)
		return -EPROTO;
	offset = link_get_u64(payload);
	payload += 8;
	len -= 8;
	if (exec->leaving)
		return 0;
	if (offset != exec->offset || len > LINK_EXEC_CHUNK)
		return -EPROTO;
	if (len == 0)
		return 0;
	exec->offset += len;
	if (exec->callbacks.output && !exec->callbacks.output(exec->data, is_stderr, payload, len))
		exec->paused = true;
	return 0;
}

static int on_input_ack(struct guest_exec *exec, const uint8_t *payload, size_t len)
{
	uint64_t received;
	uint64_t written;

	if (len != 16 || exec->leaving)
		return exec->leaving ? 0 : -EPROTO;
	received = link_get_u64(payload);
	written = link_get_u64(payload + 8);
	if (!exec->in_known) {
		/* An earlier server may have sent some; what there is of ours comes behind it. */
		exec->in_base = exec->in_sent = received;
		exec->in_known = true;
	}
	if (written > received || received < exec->in_base ||
	    received > exec->in_base + buf_len(&exec->in) || written < exec->in_written)
		return -EPROTO;
	buf_consume(&exec->in, (size_t)(received - exec->in_base));
	exec->in_base = received;
	if (!exec->joined || exec->in_sent < received)
		exec->in_sent = received;
	exec->in_written = written;
	exec->joined = true;
	exec_push(exec);
	if (exec->want_input && exec->callbacks.writable) {
		exec->want_input = false;
		exec->callbacks.writable(exec->data);
	}
	return 0;
}

/* What begins with the pointer to a field of the request is wrong in the request. */
static enum error_code start_error_code(const char *text, json_int_t sys)
{
	static const char *const fields[] = { "/argv/0: ", "/cwd: ", "/user: " };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strncmp(text, fields[i], strlen(fields[i])) == 0)
			return ERR_INVALID;
	return sys == ESRCH ? ERR_NOT_FOUND : ERR_GUEST;
}

/* Numbers come from the guest: kept within what they can mean. */
static void parse_end(const json_t *document, struct guest_exec_end *end)
{
	const char *text = json_string_value(json_object_get(document, "error"));
	const json_t *code = json_object_get(document, "code");
	json_int_t sys = json_integer_value(json_object_get(document, "errno"));

	end->timed_out = json_is_true(json_object_get(document, "timed_out"));
	if (text) {
		(void)error_set(&end->error, start_error_code(text, sys), "%.400s", text);
		end->error.sys = sys > 0 && sys < 4096 ? (int)sys : 0;
	} else if (code) {
		end->exited = true;
		end->exit_code = (int)(json_integer_value(code) & 0xff);
	} else {
		end->signal = (int)(json_integer_value(json_object_get(document, "signal")) & 0x7f);
	}
}

static int on_end_frame(struct guest_exec *exec, const uint8_t *payload, size_t len)
{
	struct guest_exec_end end = { .exited = false };
	struct error err = ERROR_INIT;
	json_auto_t *document = NULL;

	if (exec->leaving)
		return 0;
	document = json_parse((const char *)payload, len, &err);
	if (!document)
		return -EPROTO;
	parse_end(document, &end);
	exec_finish(exec, &end, end.error.code == ERR_NONE);
	return 0;
}

static int on_started(struct guest_exec *exec, const uint8_t *payload, size_t len)
{
	struct error err = ERROR_INIT;
	json_auto_t *document = json_parse((const char *)payload, len, &err);

	if (!document)
		return -EPROTO;
	free(TAKE_PTR(exec->start));
	loop_timer_free(TAKE_PTR(exec->limit));
	if (exec->callbacks.started)
		exec->callbacks.started(exec->data,
					json_integer_value(json_object_get(document, "pid")));
	return 0;
}

int exec_take_frame(struct guest_exec *exec, uint8_t type, const uint8_t *payload, size_t len)
{
	switch (type) {
	case LINK_EXEC_STARTED:
		return on_started(exec, payload, len);
	case LINK_EXEC_STDOUT:
	case LINK_EXEC_STDERR:
		return on_output(exec, type == LINK_EXEC_STDERR, payload, len);
	case LINK_EXEC_STDIN_ACK:
		return on_input_ack(exec, payload, len);
	case LINK_EXEC_END:
		return on_end_frame(exec, payload, len);
	default:
		return -EPROTO;
	}
}
