/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on the guest link after the handshake, the same for both sides: a session on a byte
 * stream that the caller owns, and streams with bounded buffers and flow control in both
 * directions. A stream whose reader has stopped holds up no other.
 *
 * All of it belongs to the loop's thread. Callbacks run from the loop (and from link_session_feed()
 * and link_session_free()), never from within another call here; they may call anything,
 * link_session_free() and link_stream_reset() included. The peer is hostile: sizes and counts are
 * limited by protocol.h, and whatever it sends can at worst end the session.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"
#include "lib/loop/loop.h"

struct link_session;
struct link_stream;

enum link_role { LINK_AGENT, LINK_HOST };

struct link_header {
	const char *name; /* lower case */
	const char *value;
};

struct link_session_ops {
	/*
	 * Agent: a request has come, its header complete (link_stream_header() tells it). The
	 * callee gives it its ops with link_stream_set_ops().
	 */
	void (*request)(void *data, struct link_stream *stream);
	/*
	 * The session can't go on: end of the stream, or what came was no HTTP/2. `rest` are the
	 * bytes at hand, beginning no later than the first that was not understood. The streams
	 * have been closed. The callee calls link_session_free(), now or later.
	 */
	void (*ended)(void *data, const char *why, const uint8_t *rest, size_t len);
};

/* Any but `closed` may be NULL. */
struct link_stream_ops {
	/*
	 * Bytes for the peer that need not be copied: how many are at *ret_bytes; 0: none now,
	 * link_stream_lent() will tell of more; negative: the stream is broken off. They stay there
	 * until taken() tells that the first `len` of them are done with; LINK_FRAME_HEAD bytes
	 * before them may be overwritten. *ret_end: nothing comes after them. Asked for when what
	 * link_stream_write() took has gone. Neither calls anything here.
	 */
	ssize_t (*lend)(void *data, uint8_t **ret_bytes, bool *ret_end);
	void (*taken)(void *data, size_t len);
	/* Host: the reply's header is complete; `:status` is as given. */
	void (*reply)(void *data, int status);
	/* Bytes of the peer, at most LINK_DATA_MAX. False: they were taken, but no more until
	 * link_stream_resume(). */
	bool (*data)(void *data, const uint8_t *bytes, size_t len);
	/* The peer has sent all. */
	void (*end)(void *data);
	/* There is room again after link_stream_write() has taken less than offered. */
	void (*writable)(void *data);
	/* The last call: both sides have ended (`why` is NULL) or the stream broke. The stream is
	 * gone when this returns. */
	void (*closed)(void *data, const char *why);
};

/*
 * `fd` is non-blocking, stays the caller's, and is watched from now on; it must outlive the
 * session. `first` bytes are sent before anything else.
 */
int link_session_new(struct loop *loop, int fd, enum link_role role, const void *first,
		     size_t first_len, const struct link_session_ops *ops, void *data,
		     struct link_session **ret_session) MUST_USE;
/* Bytes that the caller had read beyond the handshake. May end in ops->ended(). */
void link_session_feed(struct link_session *session, const void *bytes, size_t len);
/* Closes all streams with `why`; the peer is not told. NULL is fine. */
void link_session_free(struct link_session *session, const char *why);

/*
 * Host: a new request. Headers begin with the pseudo headers, at most 16 in all. `body` says
 * whether link_stream_write() and link_stream_finish() will follow. NULL: out of memory, or the
 * session is ending.
 */
struct link_stream *link_stream_open(struct link_session *session,
				     const struct link_header *headers, size_t n, bool body,
				     const struct link_stream_ops *ops, void *data) MUST_USE;

void link_stream_set_ops(struct link_stream *stream, const struct link_stream_ops *ops, void *data);

/* A field of the peer's header, ":path" and the like included, or NULL. Kept while the stream is.
 */
const char *link_stream_header(const struct link_stream *stream, const char *name);

/* Agent: the reply's header; fields other than the status, at most 16. As above for `body`. */
int link_stream_reply(struct link_stream *stream, int status, const struct link_header *headers,
		      size_t n, bool body) MUST_USE;

/* There is (again) something that lend() has, or its end. */
void link_stream_lent(struct link_stream *stream);
/* Lets the peer send more of this stream ahead, for a transfer of many bytes; not for all streams:
 * the session has room for some. From the reply on. */
void link_stream_widen(struct link_stream *stream);
/* How many bytes were taken: less than `len` when the buffer is full. */
size_t link_stream_write(struct link_stream *stream, const void *bytes, size_t len);
/* How many bytes would be taken now. */
size_t link_stream_room(const struct link_stream *stream);
/* Makes writable() come, once, as soon as at least half of the buffer is free. */
void link_stream_want_room(struct link_stream *stream);
/* Nothing more comes from this side. */
void link_stream_finish(struct link_stream *stream);
/* Takes up reading again. */
void link_stream_resume(struct link_stream *stream);
/* Breaks the stream off, unless it has ended: no further callback, the handle is gone. */
void link_stream_reset(struct link_stream *stream);
