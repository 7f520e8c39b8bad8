/* SPDX-License-Identifier: Apache-2.0 */
/* What nghttp2 tells of the frames that come: bodies, headers, ends. */
#include "lib/link/protocol.h"
#include "lib/link/session_internal.h"

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
		   void *data)
{
	struct link_session *s = data;
	struct link_stream *st = nghttp2_session_get_stream_user_data(h2, id);
	bool more;

	(void)flags;
	(void)nghttp2_session_consume_connection(h2, len);
	if (!st) {
		(void)nghttp2_session_consume_stream(h2, id, len);
		return s->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
	}
	if (st->paused || buf_len(&st->in) > 0) {
		if (buf_append(&st->in, bytes, len) < 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		return 0;
	}
	more = stream_give(st, bytes, len);
	if (s->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (st->gone)
		return 0;
	stream_consume(st, len);
	st->paused = st->paused || !more;
	return 0;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *data)
{
	struct link_session *s = data;
	struct link_stream *st;

	if (s->role == LINK_HOST || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	st = stream_new(s, NULL, NULL);
	if (!st)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	st->id = frame->hd.stream_id;
	(void)nghttp2_session_set_stream_user_data(h2, st->id, st);
	return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *data)
{
	struct link_stream *st = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);

	(void)flags;
	(void)data;
	if (!st)
		return 0;
	if (st->n_fields == LINK_HEADER_FIELDS_MAX || memchr(value, '\0', value_len) ||
	    memchr(name, '\0', name_len) || buf_append(&st->headers, name, name_len) < 0 ||
	    buf_append(&st->headers, "", 1) < 0 || buf_append(&st->headers, value, value_len) < 0 ||
	    buf_append(&st->headers, "", 1) < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	st->n_fields++;
	return 0;
}

static void headers_complete(struct link_session *s, struct link_stream *st)
{
	const char *status;
	int code = 0;

	if (st->replied)
		return;
	if (s->role == LINK_AGENT) {
		st->replied = true;
		s->ops->request(s->data, st);
		return;
	}
	status = link_stream_header(st, ":status");
	for (const char *p = status; p && *p >= '0' && *p <= '9' && code < 1000; p++)
		code = code * 10 + (*p - '0');
	if (code < 200) { /* an interim answer: its fields don't count */
		buf_consume(&st->headers, buf_len(&st->headers));
		st->n_fields = 0;
		return;
	}
	st->replied = true;
	if (st->ops && st->ops->reply)
		st->ops->reply(st->data, code);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *data)
{
	struct link_session *s = data;
	struct link_stream *st;

	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	st = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	if (!st)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		headers_complete(s, st);
	if (s->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!st->gone && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		st->in_ended = true;
		stream_deliver(st);
	}
	return s->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *data)
{
	struct link_session *s = data;
	struct link_stream *st = nghttp2_session_get_stream_user_data(h2, id);

	if (!st || st->gone)
		return 0;
	st->wire_closed = true;
	st->close_code = code;
	/* What a paused reader has not taken yet stays his; a broken stream is told at once. */
	if (code != NGHTTP2_NO_ERROR)
		buf_done(&st->in);
	stream_deliver(st);
	return s->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A request that never left, because the session is ending. */
static int on_not_sent(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *data)
{
	struct link_session *s = data;

	(void)h2;
	if (frame->hd.type != NGHTTP2_HEADERS || s->role != LINK_HOST)
		return 0;
	for (struct link_stream *st = s->streams; st; st = st->next) {
		if (st->id == frame->hd.stream_id && !st->gone) {
			st->wire_closed = true;
			stream_closed(st, nghttp2_strerror(error));
			break;
		}
	}
	return 0;
}

void receive_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
}
