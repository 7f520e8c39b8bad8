/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. The descriptor is watched edge-triggered for both directions all the time,
 * so an idle session costs nothing, and a virtio-serial port whose host side is closed (which
 * reads as end of file for ever) wakes us once. Incoming bytes pass a small frame counter first:
 * it finds a frame beyond the limit, which nghttp2 would answer by swallowing all that follows,
 * the next handshake included.
 *
 * Connection-level flow control is switched off in effect: its window is large and is given back
 * as bytes come in. Streams have their own windows, given back as their reader takes the bytes, so
 * the memory that a peer can fill is LINK_STREAMS_MAX * LINK_STREAM_WINDOW.
 *
 * Callbacks may free the session or a stream at any depth: `depth` counts the calls under way; what
 * has been freed meanwhile goes when it comes back to 0. `locked` is set while nghttp2 or the
 * sending loop is at work; what is written then is sent when they are done.
 */
#include "lib/link/session.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"

enum {
	READ_SIZE = 32 * 1024,
	READ_ROUNDS = 16,     /* reads in a row before other sources get their turn */
	WRITE_ROUNDS = 32,    /* the same for writes */
	OUT_MARK = 48 * 1024, /* bytes of frames made ahead of the descriptor */
	OUT_MAX = 256 * 1024,
	WRITABLE_MARK = 64 * 1024, /* a stream's buffer below this is worth filling again */
	CONNECTION_WINDOW = 1 << 30,
	FIELDS_OUT_MAX = 20,
};

struct link_stream {
	struct link_session *session;
	struct link_stream *next;
	struct link_stream **prev;
	int32_t id;
	const struct link_stream_ops *ops; /* NULL: nobody is interested (any more) */
	void *data;
	struct buf headers; /* "name\0value\0" … */
	uint32_t n_fields;
	bool replied; /* host: the final header has come; agent: the request is out */
	bool paused;
	bool in_ended; /* the peer has sent all … */
	bool in_told;  /* … and ops->end() has been called */
	bool out_ended;
	bool want_writable;
	bool wire_closed;
	bool gone; /* to be freed */
	bool busy; /* deliver() is at work on it */
	uint32_t close_code;
	struct buf in; /* what came while paused */
	struct buf out;
};

struct link_session {
	struct loop *loop;
	int fd;
	enum link_role role;
	const struct link_session_ops *ops;
	void *data;
	nghttp2_session *h2;
	struct loop_fd *source;
	struct loop_timer *again;
	struct link_stream *streams;
	struct buf out;
	unsigned int depth;
	bool locked;
	bool kick;    /* something to send has come up meanwhile */
	bool resumed; /* a stream that was paused reads again */
	bool more;    /* reading was interrupted to give others a turn */
	bool blocked; /* the descriptor takes no more */
	bool ended;   /* ops->ended() has been or is being called */
	bool dead;    /* freed by its owner */
	/* the frame counter */
	uint8_t head[9];
	size_t head_len;
	size_t skip; /* bytes of the frame at hand (or of the client's preface) still to come */
};

static void session_kick(struct link_session *s);

/* Work for the loop: calls from outside never run callbacks. */
static void session_kick(struct link_session *s)
{
	s->kick = true;
	if (!s->locked && !s->ended && !s->dead)
		loop_timer_set(s->again, 0);
}

/* --- streams: life --- */

static struct link_stream *stream_new(struct link_session *s, const struct link_stream_ops *ops,
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

static void stream_free(struct link_stream *st)
{
	*st->prev = st->next;
	if (st->next)
		st->next->prev = st->prev;
	buf_done(&st->headers);
	buf_done(&st->in);
	buf_done(&st->out);
	free(st);
}

static void free_gone(struct link_session *s)
{
	struct link_stream *next;

	for (struct link_stream *st = s->streams; st; st = next) {
		next = st->next;
		if (st->gone)
			stream_free(st);
	}
}

static void session_destroy(struct link_session *s)
{
	while (s->streams)
		stream_free(s->streams);
	nghttp2_session_del(s->h2);
	loop_timer_free(s->again);
	buf_done(&s->out);
	free(s);
}

static void enter(struct link_session *s)
{
	s->depth++;
}

/* Returns false when the session is gone. */
static bool leave(struct link_session *s)
{
	if (--s->depth > 0)
		return true;
	if (s->dead) {
		session_destroy(s);
		return false;
	}
	free_gone(s);
	return true;
}

static void stream_closed(struct link_stream *st, const char *why)
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

static void close_all(struct link_session *s, const char *why)
{
	enter(s);
	for (struct link_stream *st = s->streams; st;) {
		if (st->gone) {
			st = st->next;
			continue;
		}
		stream_closed(st, why);
		st = s->streams;
	}
	s->depth--;
}

/* The session is over for a reason of its own; tells the owner once. */
static void session_fail(struct link_session *s, const char *why, const uint8_t *rest, size_t len)
{
	if (s->ended || s->dead)
		return;
	s->ended = true;
	loop_fd_remove(TAKE_PTR(s->source));
	loop_timer_clear(s->again);
	enter(s);
	close_all(s, why);
	if (!s->dead)
		s->ops->ended(s->data, why, rest, len);
	(void)leave(s);
}

/* --- streams: reading --- */

static void consume(struct link_stream *st, size_t len)
{
	if (!st->wire_closed)
		(void)nghttp2_session_consume_stream(st->session->h2, st->id, len);
	st->session->kick = true;
}

static bool give(struct link_stream *st, const uint8_t *bytes, size_t len)
{
	if (st->ops && st->ops->data)
		return st->ops->data(st->data, bytes, len);
	return true;
}

/* Gives what is held, the end, and the close, as far as the reader takes them. */
static void deliver(struct link_stream *st)
{
	if (st->busy || st->gone)
		return;
	st->busy = true;
	while (!st->gone && !st->paused && buf_len(&st->in) > 0) {
		size_t len = buf_len(&st->in);
		bool more = give(st, buf_bytes(&st->in), len);

		if (st->gone)
			break;
		buf_consume(&st->in, len);
		consume(st, len);
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
	more = give(st, bytes, len);
	if (s->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (st->gone)
		return 0;
	consume(st, len);
	st->paused = st->paused || !more;
	return 0;
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

/* Streams that were taken up again get what was held for them. */
static void deliver_resumed(struct link_session *s)
{
	struct link_stream *st;

	while (s->resumed && !s->ended && !s->dead) {
		st = find_deliverable(s);
		if (!st)
			s->resumed = false;
		else
			deliver(st);
	}
}

/* --- headers --- */

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
		deliver(st);
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
	deliver(st);
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

/* --- streams: writing --- */

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
	enter(s);
	stream_drop(st);
	session_kick(s);
	(void)leave(s);
}

static struct link_stream *find_writable(struct link_session *s)
{
	for (struct link_stream *st = s->streams; st; st = st->next)
		if (st->want_writable && !st->gone && !st->wire_closed &&
		    buf_len(&st->out) < WRITABLE_MARK)
			return st;
	return NULL;
}

/* Asks the streams with room for more bytes; true when one was asked. */
static bool refill(struct link_session *s)
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

/* --- the descriptor --- */

/* Frames from nghttp2 into the buffer. Returns 1 at the mark, 0 when there are no more. */
static int make_frames(struct link_session *s)
{
	while (buf_len(&s->out) < OUT_MARK) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(s->h2, &bytes);

		if (n == 0)
			return 0;
		if (n < 0 || buf_append(&s->out, bytes, (size_t)n) < 0)
			return -ENOMEM;
	}
	return 1;
}

static int write_out(struct link_session *s)
{
	while (buf_len(&s->out) > 0 && !s->blocked) {
		ssize_t n = write(s->fd, buf_bytes(&s->out), buf_len(&s->out));

		if (n > 0)
			buf_consume(&s->out, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			s->blocked = true;
		else if (n < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

/* One round; returns 1 when another is needed. */
static int send_round(struct link_session *s)
{
	bool again;
	int marked;
	int r;

	s->kick = false;
	marked = make_frames(s);
	if (marked < 0)
		return marked;
	r = write_out(s);
	if (r < 0)
		return r;
	again = refill(s) || s->kick || marked == 1;
	return again && !s->dead && !(s->blocked && buf_len(&s->out) >= OUT_MARK);
}

static void session_flush(struct link_session *s)
{
	int r = 1;

	s->kick = true;
	if (s->locked || s->ended || s->dead)
		return;
	enter(s);
	s->locked = true;
	for (int i = 0; i < WRITE_ROUNDS && r == 1; i++)
		r = send_round(s);
	s->locked = false;
	if (r == 1)
		loop_timer_set(s->again, 0);
	else if (r < 0)
		session_fail(s, "writing to the link failed", NULL, 0);
	else if (!s->dead && buf_len(&s->out) == 0 && !nghttp2_session_want_read(s->h2) &&
		 !nghttp2_session_want_write(s->h2))
		session_fail(s, "the other side broke the rules of HTTP/2", NULL, 0);
	(void)leave(s);
}

/* Follows the frames; returns false at a header whose length is beyond the limit. */
static bool frames_plausible(struct link_session *s, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t n;

		if (s->skip > 0) {
			n = s->skip < len ? s->skip : len;
			s->skip -= n;
		} else {
			n = sizeof(s->head) - s->head_len;
			n = n < len ? n : len;
			memcpy(s->head + s->head_len, p, n);
			s->head_len += n;
			if (s->head_len >= 3)
				s->skip = (size_t)s->head[0] << 16 | (size_t)s->head[1] << 8 |
					  s->head[2];
			if (s->skip > LINK_FRAME_MAX)
				return false;
			if (s->head_len < sizeof(s->head)) {
				s->skip = 0;
				return true;
			}
			s->head_len = 0;
		}
		p += n;
		len -= n;
	}
	return true;
}

void link_session_feed(struct link_session *s, const void *bytes, size_t len)
{
	ssize_t n;

	if (s->ended || s->dead || len == 0)
		return;
	if (!frames_plausible(s, bytes, len)) {
		session_fail(s, "the other side sent no HTTP/2 frame", bytes, len);
		return;
	}
	enter(s);
	s->locked = true;
	n = nghttp2_session_mem_recv(s->h2, bytes, len);
	s->locked = false;
	if (n < 0)
		session_fail(s, nghttp2_strerror((int)n), bytes, len);
	session_flush(s);
	(void)leave(s);
}

/* True when there may be more to read at once. */
static bool read_in(struct link_session *s)
{
	uint8_t bytes[READ_SIZE];
	ssize_t n = read(s->fd, bytes, sizeof(bytes));

	if (n > 0) {
		link_session_feed(s, bytes, (size_t)n);
		return true;
	}
	if (n < 0 && errno == EINTR)
		return true;
	if (n == 0)
		session_fail(s, "the other side closed the link", NULL, 0);
	else if (errno != EAGAIN)
		session_fail(s, "reading from the link failed", NULL, 0);
	return false;
}

static void work(struct link_session *s, bool readable)
{
	enter(s);
	for (int i = 0; i < READ_ROUNDS && readable && !s->ended && !s->dead; i++)
		readable = read_in(s);
	s->more = readable;
	deliver_resumed(s);
	session_flush(s);
	if (s->more && !s->ended && !s->dead)
		loop_timer_set(s->again, 0);
	(void)leave(s);
}

static void on_again(void *data)
{
	struct link_session *s = data;

	work(s, s->more);
}

static void on_event(void *data, uint32_t events)
{
	struct link_session *s = data;

	if (events & EPOLLOUT)
		s->blocked = false;
	work(s, (events & ~(uint32_t)EPOLLOUT) != 0);
}

/* --- life --- */

static int h2_new(struct link_session *s)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LINK_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LINK_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LINK_HEADERS_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	size_t n = ARRAY_SIZE(settings) - (s->role == LINK_AGENT ? 1 : 0);
	int r = -ENOMEM;

	if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0) {
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
		nghttp2_option_set_no_auto_window_update(opt, 1);
		nghttp2_option_set_no_closed_streams(opt, 1);
		nghttp2_option_set_peer_max_concurrent_streams(opt, LINK_STREAMS_MAX);
		r = s->role == LINK_AGENT ? nghttp2_session_server_new2(&s->h2, cb, s, opt)
					  : nghttp2_session_client_new2(&s->h2, cb, s, opt);
		if (r == 0)
			r = nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, n);
		if (r == 0)
			r = nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, 0,
								  CONNECTION_WINDOW);
		r = r == 0 ? 0 : -ENOMEM;
	}
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return r;
}

int link_session_new(struct loop *loop, int fd, enum link_role role, const void *first,
		     size_t first_len, const struct link_session_ops *ops, void *data,
		     struct link_session **ret_session)
{
	struct link_session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct link_session){
		.loop = loop, .fd = fd, .role = role, .ops = ops, .data = data
	};
	buf_init(&s->out, OUT_MAX);
	if (role == LINK_AGENT)
		s->skip = NGHTTP2_CLIENT_MAGIC_LEN;
	r = loop_timer_new(loop, on_again, s, &s->again);
	if (r == 0)
		r = h2_new(s);
	if (r == 0)
		r = buf_append(&s->out, first, first_len);
	if (r == 0)
		r = loop_fd_add(loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_event, s,
				&s->source);
	if (r < 0) {
		session_destroy(s);
		return r;
	}
	*ret_session = s;
	session_kick(s);
	return 0;
}

void link_session_free(struct link_session *s, const char *why)
{
	if (!s || s->dead)
		return;
	s->ended = true;
	loop_fd_remove(TAKE_PTR(s->source));
	loop_timer_clear(s->again);
	enter(s);
	close_all(s, why);
	s->dead = true;
	(void)leave(s);
}

int link_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}
