/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. An exec has a stream while the link is up. When the stream breaks, the exec
 * waits for the link and then attaches from the first byte of output that its owner has not taken
 * (or starts again by the same id, when nothing said that it had started: the agent knows the id
 * if it had). Input is kept until the agent has it, so it can be sent again too.
 *
 * An exec that its owner is done with stays in the list as `leaving` until the agent has heard of
 * it; what it ran and kept is then forgotten over there.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/link/send.h"
#include "server/guest/exec_internal.h"

enum {
	ACK_STEP = 32 * 1024, /* bytes of output between two acknowledgements */
	SIGNAL_MAX = 64,
	/* What can be held for an owner who stopped in the middle of a read. */
	HELD_MAX = LINK_EXEC_FRAME_MAX + LINK_STREAM_WINDOW,
	REJOINS_MAX = 4, /* on one link: a guest that breaks each stream has lost it */
	/*
	 * What has ended is forgotten over there with the next start, or after this: the guest
	 * is woken once for both.
	 */
	RELEASE_AFTER_US = 20 * 1000,
	/* For the news that the program runs, beyond the time that it was given. */
	START_US = 10 * 1000 * 1000,
	START_MAX_US = 30 * 1000 * 1000,
};

static const struct link_stream_ops exec_ops;

/* --- life --- */

/* The guest may be gone when this has been done. */
static void forget(struct guest_exec *exec)
{
	for (struct guest_exec **p = &guest_lists(exec->guest)->execs; *p; p = &(*p)->next) {
		if (*p == exec) {
			*p = exec->next;
			break;
		}
	}
	if (exec->stream)
		link_stream_reset(TAKE_PTR(exec->stream));
	exec->dead = true;
}

static void exec_free(struct guest_exec *exec)
{
	if (!exec->dead)
		forget(exec);
	if (exec->busy)
		return;
	link_decoder_done(&exec->decoder);
	buf_done(&exec->held);
	buf_done(&exec->in);
	loop_timer_free(exec->limit);
	free(exec->start);
	free(exec);
}

/* The owner forgets it. */
static void part(struct guest_exec *exec)
{
	exec->leaving = true;
	exec->callbacks = (struct guest_exec_callbacks){ .output = NULL };
	buf_consume(&exec->in, buf_len(&exec->in));
	buf_consume(&exec->held, buf_len(&exec->held));
	if (exec->stream && exec->paused)
		link_stream_resume(exec->stream);
	exec->paused = false;
}

/* And the agent is told, now or when the link is up again. */
static void leave(struct guest_exec *exec)
{
	part(exec);
	exec_push(exec);
}

void exec_finish(struct guest_exec *exec, const struct guest_exec_end *end, bool known)
{
	void (*fn)(void *data, const struct guest_exec_end *end) = exec->callbacks.end;
	void *data = exec->data;

	assert(!known || exec->busy);
	if (known)
		part(exec);
	else
		exec_free(exec);
	if (fn)
		fn(data, end);
	if (known && !exec->dead) {
		exec->later = true;
		loop_timer_set(guest_lists(exec->guest)->release, RELEASE_AFTER_US);
	}
}

/* --- to the agent --- */

static bool send_control(struct guest_exec *exec)
{
	uint8_t body[8];

	for (unsigned int sig = 1; exec->signals; sig++) {
		if (!(exec->signals & (1ULL << (sig - 1))))
			continue;
		link_put_u32(body, sig);
		if (!link_send_frame(exec->stream, LINK_EXEC_SIGNAL, body, 4, NULL, 0))
			return false;
		exec->signals &= ~(1ULL << (sig - 1));
	}
	if (exec->resize) {
		link_put_u16(body, exec->rows);
		link_put_u16(body + 2, exec->cols);
		if (!link_send_frame(exec->stream, LINK_EXEC_RESIZE, body, 4, NULL, 0))
			return false;
		exec->resize = false;
	}
	return true;
}

static bool send_ack(struct guest_exec *exec)
{
	uint8_t body[8];

	if (exec->offset - exec->acked < ACK_STEP)
		return true;
	link_put_u64(body, exec->offset);
	if (!link_send_frame(exec->stream, LINK_EXEC_ACK, body, sizeof(body), NULL, 0))
		return false;
	exec->acked = exec->offset;
	return true;
}

static bool send_input(struct guest_exec *exec)
{
	uint64_t total = exec->in_base + buf_len(&exec->in);
	uint8_t offset[8];

	while (exec->in_sent < total) {
		uint64_t left = total - exec->in_sent;
		size_t len = left < LINK_EXEC_CHUNK ? (size_t)left : LINK_EXEC_CHUNK;

		link_put_u64(offset, exec->in_sent);
		if (!link_send_frame(exec->stream, LINK_EXEC_STDIN, offset, sizeof(offset),
				     buf_bytes(&exec->in) + (exec->in_sent - exec->in_base), len))
			return false;
		exec->in_sent += len;
	}
	if (exec->in_end && !exec->in_end_sent)
		exec->in_end_sent =
			link_send_frame(exec->stream, LINK_EXEC_STDIN_END, NULL, 0, NULL, 0);
	return true;
}

void exec_push(struct guest_exec *exec)
{
	if (!exec->stream || exec->left)
		return;
	if (exec->leaving) {
		if (exec->later)
			return;
		exec->left = link_send_frame(exec->stream, LINK_EXEC_RELEASE, NULL, 0, NULL, 0);
		if (exec->left)
			link_stream_finish(exec->stream);
		return;
	}
	if (!exec->joined)
		return;
	if (send_control(exec) && send_ack(exec))
		(void)send_input(exec);
}

void execs_release(void *guest)
{
	struct guest_exec *next;

	loop_timer_clear(guest_lists(guest)->release);
	for (struct guest_exec *exec = guest_lists(guest)->execs; exec; exec = next) {
		next = exec->next;
		exec->later = false;
		if (exec->leaving)
			exec_push(exec);
	}
}

/* Opens a stream and says what this is about. */
static void join(struct guest_exec *exec)
{
	uint8_t offset[8];
	char path[LINK_EXEC_ID_MAX + 16];

	if (exec->stream || !guest_is_up(exec->guest))
		return;
	(void)snprintf(path, sizeof(path), "/execs/%s", exec->id);
	exec->joined = false;
	exec->left = false;
	exec->in_end_sent = false;
	link_decoder_done(&exec->decoder);
	buf_consume(&exec->held, buf_len(&exec->held)); /* not taken: it comes again */
	execs_release(exec->guest);
	exec->stream = guest_open_stream(exec->guest, "POST", path, true, &exec_ops, exec);
	if (!exec->stream || exec->leaving) {
		exec_push(exec);
		return;
	}
	link_put_u64(offset, exec->offset);
	if (exec->start)
		(void)link_send_frame(exec->stream, LINK_EXEC_START, NULL, 0, exec->start,
				      strlen(exec->start));
	else
		(void)link_send_frame(exec->stream, LINK_EXEC_ATTACH, offset, sizeof(offset), NULL,
				      0);
}

/* --- from the agent --- */

static int on_frame(void *data, uint8_t type, const uint8_t *payload, size_t len)
{
	struct guest_exec *exec = data;

	if (exec->dead)
		return -ECANCELED;
	if (exec->paused)
		return link_frame_append(&exec->held, type, payload, len, NULL, 0);
	return exec_take_frame(exec, type, payload, len);
}

/* What the agent said makes no sense: the program may go on, but not with us. */
static void protocol_error(struct guest_exec *exec)
{
	struct guest_exec_end end = { .exited = false };

	(void)error_set(&end.error, ERR_GUEST, "the guest's agent sent what can't be understood");
	exec_finish(exec, &end, false);
}

/* Ends a round of work. Returns false when the exec is gone. */
static bool settle(struct guest_exec *exec, int r)
{
	exec->busy = false;
	if (r < 0 && !exec->dead) {
		if (exec->leaving)
			exec_free(exec);
		else
			protocol_error(exec);
		return false;
	}
	if (exec->dead) {
		exec_free(exec);
		return false;
	}
	return true;
}

/* The guest stands still, or what was sent has got lost. Should it come to life, it forgets this.
 */
static void on_limit(void *data)
{
	struct guest_exec *exec = data;
	struct guest_exec_end end = { .exited = false };

	if (!exec->start || exec->leaving)
		return;
	(void)error_set(&end.error, ERR_TIMEOUT,
			"the guest did not start the program in time; it may hang, see its logs");
	exec->busy = true;
	exec_finish(exec, &end, true);
	(void)settle(exec, 0);
}

bool exec_take(void *data, const uint8_t *bytes, size_t len)
{
	struct guest_exec *exec = data;
	int r;

	exec->busy = true;
	r = exec->broken ? 0 : link_decoder_feed(&exec->decoder, bytes, len, on_frame, exec);
	/* What came before counts first, its end perhaps. */
	if (r < 0 && exec->paused && !exec->dead && !exec->leaving) {
		exec->broken = true;
		r = 0;
	}
	if (!settle(exec, r))
		return true;
	exec_push(exec);
	return !exec->paused;
}

static void on_writable(void *data)
{
	exec_push(data);
}

static void on_closed(void *data, const char *why)
{
	struct guest_exec *exec = data;

	exec->stream = NULL;
	if (exec->leaving && exec->left && !why)
		exec_free(exec);
	else if (!exec->leaving && (!why || exec->rejoins >= REJOINS_MAX))
		protocol_error(exec); /* ended without an end */
	else if (++exec->rejoins <= REJOINS_MAX)
		join(exec); /* where only this stream broke */
}

static const struct link_stream_ops exec_ops = { .data = exec_take,
						 .writable = on_writable,
						 .closed = on_closed };

/* --- the guest's side of things --- */

void execs_link_up(struct guest *guest)
{
	for (struct guest_exec *exec = guest_lists(guest)->execs; exec; exec = exec->next) {
		exec->rejoins = 0;
		join(exec);
	}
}

void execs_end_all(struct guest *guest, const struct error *why)
{
	struct guest_exec_end end = { .exited = false, .error = *why };

	while (guest_lists(guest)->execs) {
		struct guest_exec *exec = guest_lists(guest)->execs;

		if (exec->leaving)
			exec_free(exec);
		else
			exec_finish(exec, &end, false);
	}
}

/* --- for the owner --- */

static int exec_new(struct guest *guest, const char *id, char *start,
		    const struct guest_exec_callbacks *callbacks, void *data,
		    struct guest_exec **ret_exec, struct error *err)
{
	struct guest_exec *exec;

	if (strlen(id) == 0 || strlen(id) > LINK_EXEC_ID_MAX) {
		free(start);
		return error_set(err, ERR_INVALID, "not an id of an exec");
	}
	exec = calloc(1, sizeof(*exec));
	if (!exec) {
		free(start);
		return error_errno(err, -ENOMEM, "start a program in the guest");
	}
	exec->guest = guest;
	exec->start = start;
	exec->in_known = start != NULL;
	exec->callbacks = *callbacks;
	exec->data = data;
	memcpy(exec->id, id, strlen(id));
	link_decoder_init(&exec->decoder);
	buf_init(&exec->held, HELD_MAX);
	buf_init(&exec->in, LINK_EXEC_STDIN_WINDOW);
	exec->next = guest_lists(guest)->execs;
	guest_lists(guest)->execs = exec;
	*ret_exec = exec;
	return 0;
}

static char *start_document(const struct guest_exec_spec *spec)
{
	json_auto_t *document = json_pack("{s:O, s:b, s:b}", "argv", spec->argv, "tty", spec->tty,
					  "stdin", spec->stdin_open);
	bool ok = document != NULL;

	if (ok && spec->env)
		ok = json_object_set(document, "env", (json_t *)(uintptr_t)spec->env) == 0;
	if (ok && spec->cwd)
		ok = json_object_set_new(document, "cwd", json_string(spec->cwd)) == 0;
	if (ok && spec->user)
		ok = json_object_set_new(document, "user", json_string(spec->user)) == 0;
	if (ok && spec->tty)
		ok = json_object_set_new(document, "rows", json_integer(spec->rows)) == 0 &&
		     json_object_set_new(document, "cols", json_integer(spec->cols)) == 0;
	if (ok && spec->timeout_ms)
		ok = json_object_set_new(document, "timeout_ms", json_integer(spec->timeout_ms)) ==
		     0;
	return ok ? json_text(document) : NULL;
}

static int64_t start_limit_us(int64_t timeout_ms)
{
	int64_t us = timeout_ms * 1000 + START_US;

	return timeout_ms > 0 && us < START_MAX_US ? us : START_MAX_US;
}

int guest_exec_start(struct guest *guest, const char *exec_id, const struct guest_exec_spec *spec,
		     const struct guest_exec_callbacks *callbacks, void *data,
		     struct guest_exec **ret_exec, struct error *err)
{
	char *start = start_document(spec);
	int r;

	if (!start)
		return error_set(err, ERR_INVALID, "arguments or environment are not valid text");
	if (strlen(start) > LINK_STREAM_BUFFER - LINK_FRAME_HEADER) {
		free(start);
		return error_set(err, ERR_TOO_LARGE,
				 "arguments and environment are larger than %d bytes",
				 LINK_STREAM_BUFFER - LINK_FRAME_HEADER);
	}
	r = exec_new(guest, exec_id, start, callbacks, data, ret_exec, err);
	if (r < 0)
		return r;
	r = loop_timer_new(guest_loop(guest), on_limit, *ret_exec, &(*ret_exec)->limit);
	if (r < 0) {
		exec_free(*ret_exec);
		return error_errno(err, r, "start a program in the guest");
	}
	loop_timer_set((*ret_exec)->limit, start_limit_us(spec->timeout_ms));
	join(*ret_exec);
	return 0;
}

int guest_exec_attach(struct guest *guest, const char *exec_id, uint64_t offset,
		      const struct guest_exec_callbacks *callbacks, void *data,
		      struct guest_exec **ret_exec, struct error *err)
{
	int r = exec_new(guest, exec_id, NULL, callbacks, data, ret_exec, err);

	if (r < 0)
		return r;
	(*ret_exec)->offset = (*ret_exec)->acked = offset;
	join(*ret_exec);
	return 0;
}

size_t guest_exec_write(struct guest_exec *exec, const void *bytes, size_t len)
{
	uint64_t under_way = exec->in_base + buf_len(&exec->in) - exec->in_written;
	size_t room = under_way < LINK_EXEC_STDIN_WINDOW
			      ? (size_t)(LINK_EXEC_STDIN_WINDOW - under_way)
			      : 0;

	if (exec->in_end || exec->leaving)
		return len;
	if (len > room) {
		exec->want_input = true;
		len = room;
	}
	if (len == 0 || buf_append(&exec->in, bytes, len) < 0)
		return 0;
	exec_push(exec);
	return len;
}

void guest_exec_close_stdin(struct guest_exec *exec)
{
	exec->in_end = true;
	exec_push(exec);
}

void guest_exec_resize(struct guest_exec *exec, uint16_t rows, uint16_t cols)
{
	exec->rows = rows;
	exec->cols = cols;
	exec->resize = true;
	exec_push(exec);
}

void guest_exec_signal(struct guest_exec *exec, int sig)
{
	if (sig <= 0 || sig > SIGNAL_MAX)
		return;
	exec->signals |= 1ULL << (sig - 1);
	exec_push(exec);
}

void guest_exec_resume(struct guest_exec *exec)
{
	struct link_decoder decoder;
	struct buf held;
	int r;

	if (!exec->paused || exec->busy)
		return;
	exec->paused = false;
	exec->busy = true;
	/* What is left of it when the owner stops again goes into a new buffer. */
	held = exec->held;
	buf_init(&exec->held, HELD_MAX);
	link_decoder_init(&decoder);
	r = buf_len(&held) > 0
		    ? link_decoder_feed(&decoder, buf_bytes(&held), buf_len(&held), on_frame, exec)
		    : 0;
	link_decoder_done(&decoder);
	buf_done(&held);
	if (!settle(exec, r))
		return;
	if (exec->broken && !exec->paused) {
		protocol_error(exec);
		return;
	}
	exec_push(exec);
	if (!exec->paused && exec->stream)
		link_stream_resume(exec->stream);
}

void guest_exec_kill(struct guest_exec *exec)
{
	leave(exec);
}

void guest_exec_detach(struct guest_exec *exec)
{
	exec_free(exec);
}
