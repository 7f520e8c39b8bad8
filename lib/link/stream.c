/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a session: their life, what their readers get, what their writers give. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/link/protocol.h"
#include "lib/link/session_internal.h"

enum {
	WRITABLE_MARK = 64 * 1024, /* a stream's buffer below this is worth filling again */
	FIELDS_OUT_MAX = 20,
};

/* --- life --- */

struct link_stream *stream_new(struct link_session *s, const struct link_stream_ops *ops,
			       void *data)
{
	struct link_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->session = s;
	st->ops = ops;
	st->data = data;
	buf_init(&st->headers, LINK_HEADERS_MAX);
	buf_init(&st->in, LINK_STREAM_WINDOW);
	buf_init(&st->out, LINK_STREAM_BUFFER);
	st->next = s->streams;
	st->prev = &s->streams;
	if (st->next)
		st->next->prev = &st->next;
	s->streams = st;
	return st;
}

/* No callback from here on; the memory goes when no call is under way. */
static void stream_drop(struct link_stream *st)
{
	st->gone = true;
	st->ops = NULL;
	if (!st->wire_closed)
		(void)nghttp2_session_set_stream_user_data(st->session->h2, st->id, NULL);
}

void stream_free(struct link_stream *st)
{
	*st->prev = st->next;
	if (st->next)
		st->next->prev = st->prev;
	st->session->n_wide -= st->wide;
	buf_done(&st->headers);
	buf_done(&st->in);
	buf_done(&st->out);
	free(st);
}

void streams_free_gone(struct link_session *s)
{
	struct link_stream *next;

	for (struct link_stream *st = s->streams; st; st = next) {
		next = st->next;
		if (st->gone)
			stream_free(st);
	}
}

void stream_closed(struct link_stream *st, const char *why)
{
	const struct link_stream_ops *ops = st->ops;

	stream_drop(st);
	if (ops && ops->closed)
		ops->closed(st->data, why);
}

static const char *close_reason(uint32_t code)
{
	return code == NGHTTP2_NO_ERROR ? NULL : nghttp2_http2_strerror(code);
}

/* --- reading --- */

void stream_consume(struct link_stream *st, size_t len)
{
	if (!st->wire_closed)
		(void)nghttp2_session_consume_stream(st->session->h2, st->id, len);
	st->session->kick = true;
}

bool stream_give(struct link_stream *st, const uint8_t *bytes, size_t len)
{
	if (st->ops && st->ops->data)
		return st->ops->data(st->data, bytes, len);
	return true;
}

void stream_deliver(struct link_stream *st)
{
	if (st->busy || st->gone)
		return;
	st->busy = true;
	while (!st->gone && !st->paused && buf_len(&st->in) > 0) {
		size_t len = buf_len(&st->in) < LINK_DATA_MAX ? buf_len(&st->in) : LINK_DATA_MAX;
		bool more = stream_give(st, buf_bytes(&st->in), len);

		if (st->gone)
			break;
		buf_consume(&st->in, len);
		stream_consume(st, len);
		st->paused = st->paused || !more;
	}
	if (!st->gone && !st->paused && buf_len(&st->in) == 0 && st->in_ended && !st->in_told) {
		st->in_told = true;
		if (st->ops && st->ops->end)
			st->ops->end(st->data);
	}
	if (!st->gone && st->wire_closed && buf_len(&st->in) == 0 &&
	    (!st->paused || st->close_code != NGHTTP2_NO_ERROR))
		stream_closed(st, close_reason(st->close_code));
	st->busy = false;
}

void link_stream_resume(struct link_stream *st)
{
	if (st->gone || !st->paused)
		return;
	st->paused = false;
	st->session->resumed = true;
	session_kick(st->session);
}

static struct link_stream *find_deliverable(struct link_session *s)
{
	for (struct link_stream *st = s->streams; st; st = st->next)
		if (!st->gone && !st->paused &&
		    (buf_len(&st->in) > 0 || (st->in_ended && !st->in_told) || st->wire_closed))
			return st;
	return NULL;
}

void streams_deliver_resumed(struct link_session *s)
{
	struct link_stream *st;

	while (s->resumed && !s->ended && !s->dead) {
		st = find_deliverable(s);
		if (!st)
			s->resumed = false;
		else
			stream_deliver(st);
	}
}

const char *link_stream_header(const struct link_stream *st, const char *name)
{
	const char *p = (const char *)buf_bytes(&st->headers);

	for (uint32_t i = 0; i < st->n_fields; i++) {
		const char *value = p + strlen(p) + 1;

		if (streq(p, name))
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

/* --- writing --- */

/* How many bytes of a stream's own memory the next frame has. */
static ssize_t read_lent(struct link_stream *st, size_t len, uint32_t *flags)
{
	uint8_t *bytes;
	bool end = false;
	ssize_t n = st->ops->lend(st->data, &bytes, &end);

	if (n < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if ((size_t)n > len) {
		n = (ssize_t)len;
		end = false;
	}
	st->out_ended = end;
	if (end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (n == 0)
		return NGHTTP2_ERR_DEFERRED;
	if (n > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return n;
}

static ssize_t read_out(nghttp2_session *h2, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
			nghttp2_data_source *source, void *data)
{
	struct link_stream *st = nghttp2_session_get_stream_user_data(h2, id);
	size_t n;

	(void)source;
	(void)data;
	if (!st)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = buf_len(&st->out) < len ? buf_len(&st->out) : len;
	if (n == 0 && !st->out_ended && st->ops && st->ops->lend)
		return read_lent(st, len, flags);
	if (n > 0) {
		memcpy(to, buf_bytes(&st->out), n);
		buf_consume(&st->out, n);
	}
	if (st->out_ended && buf_len(&st->out) == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (n == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)n;
}

int stream_send_lent(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t len,
		     nghttp2_data_source *source, void *data)
{
	struct link_session *s = data;
	struct link_stream *st = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	uint8_t *bytes;
	bool end;
	ssize_t n;

	(void)source;
	if (!session_may_send(s))
		return NGHTTP2_ERR_WOULDBLOCK;
	n = st && st->ops && st->ops->lend ? st->ops->lend(st->data, &bytes, &end) : -1;
	if (n < (ssize_t)len)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	memcpy(bytes - LINK_FRAME_HEAD, head, LINK_FRAME_HEAD);
	if (session_send(s, bytes - LINK_FRAME_HEAD, LINK_FRAME_HEAD + len) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	st->ops->taken(st->data, len);
	return 0;
}

static const nghttp2_data_provider out_provider = { .read_callback = read_out };

static nghttp2_nv field(const char *name, const char *value)
{
	/* nghttp2 copies both; its type just lacks the const. */
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
	};
}

struct link_stream *link_stream_open(struct link_session *s, const struct link_header *headers,
				     size_t n, bool body, const struct link_stream_ops *ops,
				     void *data)
{
	nghttp2_nv nv[FIELDS_OUT_MAX];
	struct link_stream *st;

	if (s->ended || s->dead || n > FIELDS_OUT_MAX)
		return NULL;
	st = stream_new(s, ops, data);
	if (!st)
		return NULL;
	for (size_t i = 0; i < n; i++)
		nv[i] = field(headers[i].name, headers[i].value);
	st->out_ended = !body;
	st->id = nghttp2_submit_request(s->h2, NULL, nv, n, body ? &out_provider : NULL, st);
	if (st->id < 0) {
		stream_free(st);
		return NULL;
	}
	session_kick(s);
	return st;
}

void link_stream_set_ops(struct link_stream *st, const struct link_stream_ops *ops, void *data)
{
	st->ops = ops;
	st->data = data;
}

int link_stream_reply(struct link_stream *st, int status, const struct link_header *headers,
		      size_t n, bool body)
{
	nghttp2_nv nv[FIELDS_OUT_MAX];
	char code[12];

	if (st->gone || st->wire_closed)
		return -EPIPE;
	if (n + 1 > FIELDS_OUT_MAX)
		return -E2BIG;
	(void)snprintf(code, sizeof(code), "%d", status);
	nv[0] = field(":status", code);
	for (size_t i = 0; i < n; i++)
		nv[i + 1] = field(headers[i].name, headers[i].value);
	st->out_ended = !body;
	if (nghttp2_submit_response(st->session->h2, st->id, nv, n + 1,
				    body ? &out_provider : NULL) != 0)
		return -ENOMEM;
	session_kick(st->session);
	return 0;
}

size_t link_stream_room(const struct link_stream *st)
{
	if (st->gone || st->wire_closed || st->out_ended)
		return 0;
	return LINK_STREAM_BUFFER - buf_len(&st->out);
}

void link_stream_lent(struct link_stream *st)
{
	if (st->gone || st->wire_closed || st->out_ended)
		return;
	(void)nghttp2_session_resume_data(st->session->h2, st->id);
	session_kick(st->session);
}

void link_stream_widen(struct link_stream *st)
{
	struct link_session *s = st->session;

	if (st->gone || st->wire_closed || st->wide || s->n_wide == LINK_STREAMS_WIDE ||
	    nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, st->id,
						  LINK_STREAM_WINDOW_WIDE) != 0)
		return;
	st->wide = true;
	s->n_wide++;
	st->in.max = LINK_STREAM_WINDOW_WIDE;
	session_kick(s);
}

void link_stream_want_room(struct link_stream *st)
{
	st->want_writable = true;
	session_kick(st->session);
}

size_t link_stream_write(struct link_stream *st, const void *bytes, size_t len)
{
	size_t room = link_stream_room(st);

	if (len > room) {
		st->want_writable = true;
		len = room;
	}
	if (len == 0 || buf_append(&st->out, bytes, len) < 0)
		return 0;
	(void)nghttp2_session_resume_data(st->session->h2, st->id);
	session_kick(st->session);
	return len;
}

void link_stream_finish(struct link_stream *st)
{
	if (st->gone || st->wire_closed || st->out_ended)
		return;
	st->out_ended = true;
	(void)nghttp2_session_resume_data(st->session->h2, st->id);
	session_kick(st->session);
}

void link_stream_reset(struct link_stream *st)
{
	struct link_session *s = st->session;

	if (st->gone)
		return;
	if (!st->wire_closed && !s->ended)
		(void)nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
	session_enter(s);
	stream_drop(st);
	session_kick(s);
	(void)session_leave(s);
}

static struct link_stream *find_writable(struct link_session *s)
{
	for (struct link_stream *st = s->streams; st; st = st->next)
		if (st->want_writable && !st->gone && !st->wire_closed &&
		    buf_len(&st->out) < WRITABLE_MARK)
			return st;
	return NULL;
}

bool streams_refill(struct link_session *s)
{
	bool any = false;
	struct link_stream *st;

	while (!s->dead && (st = find_writable(s)) != NULL) {
		st->want_writable = false;
		if (st->ops && st->ops->writable)
			st->ops->writable(st->data);
		any = true;
	}
	return any;
}
