/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation about one exec on one stream. The exec outlives it: whatever ends the stream
 * but RELEASE leaves the program alone and its output in the buffer.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "agent/service/exec.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/link/send.h"

/*
 * How long the news of a start waits for what the program does: most programs end at once, and
 * then the host and this agent are woken once and not twice.
 */
enum { QUIET_US = 10000 };

struct exec_talk {
	struct agent *agent;
	struct link_stream *stream;
	struct exec *exec; /* NULL before the first frame and after the end */
	struct link_decoder decoder;
	uint64_t sent; /* offset of the output to send next */
	uint64_t told_received;
	uint64_t told_written;
	struct loop_timer *quiet;
	bool waits;   /* STARTED does, until something happens or `quiet` is due */
	bool replied; /* the stream has its header */
	bool started; /* STARTED has been sent */
	bool ended;   /* END has been sent */
	bool busy;    /* frames are being decoded */
	bool gone;    /* closed while busy */
	char id[LINK_EXEC_ID_MAX + 1];
};

static void talk_free(struct exec_talk *talk)
{
	if (talk->exec)
		talk->exec->talk = NULL;
	talk->exec = NULL;
	talk->gone = true;
	if (talk->busy)
		return;
	link_decoder_done(&talk->decoder);
	loop_timer_free(talk->quiet);
	free(talk);
}

/* --- to the host --- */

static bool send_json(struct exec_talk *talk, uint8_t type, json_t *value)
{
	autofree char *text = value ? json_text(value) : NULL;

	json_decref(value);
	return text && link_send_frame(talk->stream, type, NULL, 0, text, strlen(text));
}

static bool send_output(struct exec_talk *talk)
{
	const uint8_t *bytes;
	uint8_t offset[8];
	bool is_stderr;
	size_t len;

	while ((len = output_peek(&talk->exec->output, talk->sent, LINK_EXEC_CHUNK, &bytes,
				  &is_stderr)) > 0) {
		link_put_u64(offset, talk->sent);
		if (!link_send_frame(talk->stream, is_stderr ? LINK_EXEC_STDERR : LINK_EXEC_STDOUT,
				     offset, sizeof(offset), bytes, len))
			return false;
		talk->sent += len;
	}
	return true;
}

static bool send_input_ack(struct exec_talk *talk)
{
	const struct exec *exec = talk->exec;
	uint8_t body[16];

	if (talk->told_received == exec->in_received && talk->told_written == exec->in_written)
		return true;
	link_put_u64(body, exec->in_received);
	link_put_u64(body + 8, exec->in_written);
	if (!link_send_frame(talk->stream, LINK_EXEC_STDIN_ACK, body, sizeof(body), NULL, 0))
		return false;
	talk->told_received = exec->in_received;
	talk->told_written = exec->in_written;
	return true;
}

static json_t *end_of(const struct exec *exec)
{
	json_t *end = WIFSIGNALED(exec->status)
			      ? json_pack("{s:i}", "signal", WTERMSIG(exec->status))
			      : json_pack("{s:i}", "code", WEXITSTATUS(exec->status));

	if (exec->timed_out)
		(void)json_object_set_new(end, "timed_out", json_true());
	return end;
}

static bool reply(struct exec_talk *talk)
{
	if (!talk->replied)
		talk->replied = link_stream_reply(talk->stream, 200, NULL, 0, true) == 0;
	return talk->replied;
}

/* The reply's header and what the host is to know first. */
static bool send_started(struct exec_talk *talk)
{
	if (talk->started)
		return true;
	talk->waits = false;
	loop_timer_clear(talk->quiet);
	talk->started =
		reply(talk) && send_json(talk, LINK_EXEC_STARTED,
					 json_pack("{s:i, s:I}", "pid", (int)talk->exec->pid,
						   "offset", (json_int_t)talk->sent));
	return talk->started;
}

/* Nothing has happened yet but the start. */
static bool is_quiet(const struct exec_talk *talk)
{
	const struct exec *exec = talk->exec;

	return talk->waits && !exec->ended && output_end(&exec->output) == talk->sent;
}

static void push_all(struct exec_talk *talk)
{
	if (!send_started(talk) || !send_input_ack(talk) || !send_output(talk))
		return;
	if (talk->exec->ended)
		talk->ended = send_json(talk, LINK_EXEC_END, end_of(talk->exec));
	if (talk->ended) /* all that is left to say is the host's RELEASE */
		link_stream_finish(talk->stream);
}

void exec_talk_push(struct exec_talk *talk)
{
	if (!talk->ended && talk->exec && !is_quiet(talk))
		push_all(talk);
}

static void on_quiet(void *data)
{
	struct exec_talk *talk = data;

	if (!talk->ended && talk->exec)
		push_all(talk);
}

void exec_talk_end(struct exec_talk *talk)
{
	talk->exec = NULL;
	(void)reply(talk);
	link_stream_finish(talk->stream);
}

static int refuse(struct exec_talk *talk, const struct error *err)
{
	talk->ended = true;
	if (!reply(talk))
		return -ENOMEM;
	(void)send_json(talk, LINK_EXEC_END,
			json_pack("{s:s, s:i}", "error", err->msg, "errno", err->sys));
	link_stream_finish(talk->stream);
	return 0;
}

/* --- from the host --- */

/* The stream now speaks for the exec; an older one is ended. */
static int join(struct exec_talk *talk, struct exec *exec, uint64_t offset)
{
	if (exec->talk)
		exec_talk_end(TAKE_PTR(exec->talk));
	talk->exec = exec;
	talk->sent = offset;
	talk->told_received = UINT64_MAX;
	exec->talk = talk;
	if (is_quiet(talk)) {
		loop_timer_set(talk->quiet, QUIET_US);
		return 0;
	}
	push_all(talk);
	return talk->started ? 0 : -ENOMEM;
}

static int attach(struct exec_talk *talk, struct exec *exec, uint64_t offset)
{
	struct error err = ERROR_INIT;

	if (offset < exec->output.base || exec_ack(exec, offset) < 0) {
		(void)error_set(&err, ERR_INVALID, "output is kept from byte %llu to %llu",
				(unsigned long long)exec->output.base,
				(unsigned long long)output_end(&exec->output));
		err.sys = ERANGE;
		return refuse(talk, &err);
	}
	return join(talk, exec, offset);
}

static int first_frame(struct exec_talk *talk, uint8_t type, const uint8_t *payload, size_t len)
{
	struct exec *exec = exec_find(talk->agent, talk->id);
	struct error err = ERROR_INIT;

	if (type == LINK_EXEC_ATTACH && len == 8 && exec)
		return attach(talk, exec, link_get_u64(payload));
	if (type == LINK_EXEC_ATTACH && len == 8) {
		(void)error_set(&err, ERR_NOT_FOUND, "the guest does not know this exec");
		err.sys = ESRCH;
		return refuse(talk, &err);
	}
	if (type == LINK_EXEC_RELEASE && len == 0) {
		talk->ended = true;
		if (exec)
			exec_release(exec);
		(void)reply(talk);
		link_stream_finish(talk->stream);
		return 0;
	}
	if (type != LINK_EXEC_START)
		return -EPROTO;
	if (exec)
		return attach(talk, exec, 0);
	if (exec_start(talk->agent, talk->id, (const char *)payload, len, &exec, &err) < 0)
		return refuse(talk, &err);
	/* Who may write to it is told at once that it can. */
	talk->waits = exec->in_fd < 0;
	return join(talk, exec, 0);
}

static int next_frame(struct exec *exec, uint8_t type, const uint8_t *payload, size_t len)
{
	int r = 0;

	if (type == LINK_EXEC_STDIN && len >= 8)
		r = exec_input(exec, link_get_u64(payload), payload + 8, len - 8);
	else if (type == LINK_EXEC_STDIN_END && len == 0)
		exec_input_end(exec);
	else if (type == LINK_EXEC_SIGNAL && len == 4 && link_get_u32(payload) <= INT_MAX)
		exec_signal(exec, (int)link_get_u32(payload));
	else if (type == LINK_EXEC_RESIZE && len == 4)
		exec_resize(exec, link_get_u16(payload), link_get_u16(payload + 2));
	else if (type == LINK_EXEC_ACK && len == 8)
		r = exec_ack(exec, link_get_u64(payload));
	else
		return -EPROTO;
	return r;
}

static int on_frame(void *data, uint8_t type, const uint8_t *payload, size_t len)
{
	struct exec_talk *talk = data;
	int r;

	if (talk->gone)
		return -ECANCELED;
	if (!talk->exec)
		return talk->ended ? 0 : first_frame(talk, type, payload, len);
	if (type == LINK_EXEC_RELEASE && len == 0) {
		talk->ended = true;
		exec_release(talk->exec);
		return 0;
	}
	r = next_frame(talk->exec, type, payload, len);
	if (r == 0 && talk->exec)
		exec_talk_push(talk);
	return r;
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct exec_talk *talk = data;
	int r;

	talk->busy = true;
	r = link_decoder_feed(&talk->decoder, bytes, len, on_frame, talk);
	talk->busy = false;
	if (r < 0 && !talk->gone) {
		link_stream_reset(talk->stream);
		talk->gone = true;
	}
	if (talk->gone)
		talk_free(talk);
	return true;
}

static void on_writable(void *data)
{
	exec_talk_push(data);
}

static void on_closed(void *data, const char *why)
{
	(void)why;
	talk_free(data);
}

static const struct link_stream_ops talk_ops = { .data = on_data,
						 .writable = on_writable,
						 .closed = on_closed };

static bool id_fits(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= LINK_EXEC_ID_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       len;
}

void exec_request(struct agent *agent, struct link_stream *stream)
{
	const char *id = link_stream_header(stream, ":path") + strlen("/execs/");
	struct error err = ERROR_INIT;
	struct exec_talk *talk;

	if (!id_fits(id)) {
		(void)error_set(&err, ERR_INVALID, "not an id of an exec");
		agent_reply_error(stream, &err);
		return;
	}
	talk = calloc(1, sizeof(*talk));
	if (!talk || loop_timer_new(agent->loop, on_quiet, talk, &talk->quiet) < 0) {
		free(talk);
		link_stream_reset(stream);
		return;
	}
	talk->agent = agent;
	talk->stream = stream;
	memcpy(talk->id, id, strlen(id));
	link_decoder_init(&talk->decoder);
	link_stream_set_ops(stream, &talk_ops, talk);
}
