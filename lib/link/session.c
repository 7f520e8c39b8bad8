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
 * the memory that a peer can fill is LINK_STREAMS_MAX * LINK_STREAM_WINDOW, and LINK_STREAMS_WIDE *
 * LINK_STREAM_WINDOW_WIDE for those that carry much.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"
#include "lib/link/session_internal.h"

enum {
	/*
	 * One read of a virtio-serial port gives what is left of one of the guest kernel's buffers,
	 * a page. So a read asks for so many pieces of that size, which the kernel fills one by
	 * one.
	 */
	PIECE = 4096,
	PIECES = LINK_DATA_MAX / PIECE,
	READ_ROUNDS = 4,         /* reads in a row before other sources get their turn */
	WRITE_TURN = 128 * 1024, /* bytes written in a row before they do */
	WRITE_ROUNDS = 32,       /* the same for whatever is small */
	/* A frame of this size goes to the descriptor as it is; smaller ones are gathered first. */
	LARGE_FRAME = 4096,
	OUT_MARK = 32 * 1024, /* bytes of frames made ahead of the descriptor */
	OUT_MAX = 256 * 1024,
	/* With its header, a frame of data is what a virtio-serial port takes in one write … */
	FRAME_DATA = 32 * 1024 - LINK_FRAME_HEAD,
	/* … or, of bytes that are lent to the host, in four. */
	FRAME_LENT = LINK_FRAME_MAX_HOST - LINK_FRAME_HEAD,
	CONNECTION_WINDOW = 1 << 30,
};

void session_kick(struct link_session *s)
{
	s->kick = true;
	if (!s->locked && !s->ended && !s->dead)
		loop_timer_set(s->again, 0);
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

void session_enter(struct link_session *s)
{
	s->depth++;
}

bool session_leave(struct link_session *s)
{
	if (--s->depth > 0)
		return true;
	if (s->dead) {
		session_destroy(s);
		return false;
	}
	streams_free_gone(s);
	return true;
}

static void close_all(struct link_session *s, const char *why)
{
	session_enter(s);
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
	session_enter(s);
	close_all(s, why);
	if (!s->dead)
		s->ops->ended(s->data, why, rest, len);
	(void)session_leave(s);
}

/* --- the descriptor --- */

/* How much the descriptor took; `blocked` says that it takes no more. */
static ssize_t write_some(struct link_session *s, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && !s->blocked) {
		ssize_t n = write(s->fd, bytes + at, len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			s->blocked = true;
		else if (n < 0 && errno != EINTR)
			return -errno;
	}
	s->turn += at;
	return (ssize_t)at;
}

static int write_out(struct link_session *s)
{
	ssize_t n = write_some(s, buf_bytes(&s->out), buf_len(&s->out));

	if (n > 0)
		buf_consume(&s->out, (size_t)n);
	return n < 0 ? (int)n : 0;
}

int session_send(struct link_session *s, const uint8_t *bytes, size_t len)
{
	ssize_t n = 0;

	if (len >= LARGE_FRAME) {
		int r = write_out(s);

		n = r < 0 ? r : buf_len(&s->out) == 0 ? write_some(s, bytes, len) : 0;
	}
	if (n >= 0 && buf_append(&s->out, bytes + n, len - (size_t)n) < 0)
		n = -ENOMEM;
	s->error = n < 0 ? (int)n : 0;
	return s->error;
}

bool session_may_send(const struct link_session *s)
{
	return buf_len(&s->out) < OUT_MARK && s->turn < WRITE_TURN;
}

/* Frames from nghttp2 to the descriptor, or the buffer. Returns 1 when there may be more. */
static int make_frames(struct link_session *s)
{
	while (session_may_send(s)) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(s->h2, &bytes);

		if (n == 0)
			return !session_may_send(s);
		if (n < 0)
			return s->error < 0 ? s->error : -ENOMEM;
		if (session_send(s, bytes, (size_t)n) < 0)
			return s->error;
	}
	return 1;
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
	again = streams_refill(s) || s->kick || marked == 1;
	return again && !s->dead && !(s->blocked && buf_len(&s->out) >= OUT_MARK);
}

static void session_flush(struct link_session *s)
{
	int r = 1;

	s->kick = true;
	if (s->locked || s->ended || s->dead)
		return;
	session_enter(s);
	s->locked = true;
	s->turn = 0;
	for (int i = 0; i < WRITE_ROUNDS && r == 1 && s->turn < WRITE_TURN; i++)
		r = send_round(s);
	s->locked = false;
	if (r == 1)
		loop_timer_set(s->again, 0);
	else if (r < 0)
		session_fail(s, "writing to the link failed", NULL, 0);
	else if (!s->dead && buf_len(&s->out) == 0 && !nghttp2_session_want_read(s->h2) &&
		 !nghttp2_session_want_write(s->h2))
		session_fail(s, "the other side broke the rules of HTTP/2", NULL, 0);
	(void)session_leave(s);
}

/* The most that the other side may put into one frame. */
static uint32_t frame_max(const struct link_session *s)
{
	return s->role == LINK_HOST ? LINK_FRAME_MAX_HOST : LINK_FRAME_MAX;
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
			if (s->skip > frame_max(s))
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
	session_enter(s);
	s->locked = true;
	n = nghttp2_session_mem_recv(s->h2, bytes, len);
	s->locked = false;
	if (n < 0)
		session_fail(s, nghttp2_strerror((int)n), bytes, len);
	session_flush(s);
	(void)session_leave(s);
}

/* True when there may be more to read at once. */
static bool read_in(struct link_session *s)
{
	uint8_t bytes[PIECES * PIECE];
	struct iovec pieces[PIECES];
	ssize_t n;

	for (size_t i = 0; i < PIECES; i++)
		pieces[i] = (struct iovec){ bytes + i * PIECE, PIECE };
	n = readv(s->fd, pieces, PIECES);

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
	session_enter(s);
	for (int i = 0; i < READ_ROUNDS && readable && !s->ended && !s->dead; i++)
		readable = read_in(s);
	s->more = readable;
	streams_deliver_resumed(s);
	session_flush(s);
	if (s->more && !s->ended && !s->dead)
		loop_timer_set(s->again, 0);
	(void)session_leave(s);
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

static ssize_t frame_data(nghttp2_session *h2, uint8_t type, int32_t id, int32_t session_window,
			  int32_t stream_window, uint32_t peer_max, void *data)
{
	const struct link_session *s = data;
	const struct link_stream *st = nghttp2_session_get_stream_user_data(h2, id);

	(void)type;
	(void)session_window;
	(void)stream_window;
	(void)peer_max; /* this and the windows are held to in any case */
	return s->role == LINK_AGENT && st && st->ops && st->ops->lend ? FRAME_LENT : FRAME_DATA;
}

static int h2_new(struct link_session *s)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LINK_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LINK_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, frame_max(s) },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LINK_HEADERS_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	size_t n = ARRAY_SIZE(settings) - (s->role == LINK_AGENT ? 1 : 0);
	int r = -ENOMEM;

	if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0) {
		receive_callbacks(cb);
		nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_data);
		nghttp2_session_callbacks_set_send_data_callback(cb, stream_send_lent);
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
	session_enter(s);
	close_all(s, why);
	s->dead = true;
	(void)session_leave(s);
}
