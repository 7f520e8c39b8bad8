/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a session share. session.c has the session and its descriptor, receive.c what
 * nghttp2 tells of the peer's frames, stream.c the streams.
 *
 * Callbacks may free the session or a stream at any depth: `depth` counts the calls under way; what
 * has been freed meanwhile goes when it comes back to 0. `locked` is set while nghttp2 or the
 * sending loop is at work; what is written then is sent when they are done.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "lib/base/buf.h"
#include "lib/link/protocol.h"
#include "lib/link/session.h"

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
	bool wide; /* has LINK_STREAM_WINDOW_WIDE */
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
	size_t turn; /* bytes written since other sources had their turn */
	int error;   /* of the last session_send() */
	unsigned int n_wide;
	unsigned int depth;
	bool locked;
	bool kick;    /* something to send has come up meanwhile */
	bool resumed; /* a stream that was paused reads again */
	bool more;    /* reading was interrupted to give others a turn */
	bool blocked; /* the descriptor takes no more */
	bool ended;   /* ops->ended() has been or is being called */
	bool dead;    /* freed by its owner */
	/* the frame counter */
	uint8_t head[LINK_FRAME_HEAD];
	size_t head_len;
	size_t skip; /* bytes of the frame at hand (or of the client's preface) still to come */
};

/* --- session.c --- */

/* Frames to the descriptor, or behind what waits for it. 0 or a negative errno. */
int session_send(struct link_session *s, const uint8_t *bytes, size_t len);
/* False: other sources have their turn first, or the descriptor takes no more. */
bool session_may_send(const struct link_session *s);
/* Work for the loop: calls from outside never run callbacks. */
void session_kick(struct link_session *s);
void session_enter(struct link_session *s);
/* Returns false when the session is gone. */
bool session_leave(struct link_session *s);

/* --- receive.c --- */

/* Sets the callbacks for what the peer sends. */
void receive_callbacks(nghttp2_session_callbacks *callbacks);

/* --- stream.c --- */

struct link_stream *stream_new(struct link_session *s, const struct link_stream_ops *ops,
			       void *data);
void stream_free(struct link_stream *st);
/* Frees those that nobody has any more; not while a call is under way. */
void streams_free_gone(struct link_session *s);
/* Tells the reader why it is over (NULL: all is well) and lets go of the stream. */
void stream_closed(struct link_stream *st, const char *why);
/* Gives a reader that is not paused these bytes; false when it wants no more for now. */
bool stream_give(struct link_stream *st, const uint8_t *bytes, size_t len);
/* Gives `len` bytes of the stream's window back to the peer. */
void stream_consume(struct link_stream *st, size_t len);
/* Gives what is held, the end, and the close, as far as the reader takes them. */
void stream_deliver(struct link_stream *st);
/* Streams that were taken up again get what was held for them. */
void streams_deliver_resumed(struct link_session *s);
/* nghttp2's callback for a frame of bytes that a stream lends. */
int stream_send_lent(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t len,
		     nghttp2_data_source *source, void *data);
/* Asks the streams with room for more bytes; true when one was asked. */
bool streams_refill(struct link_session *s);
