/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's bytes wait in a bounded buffer. libmicrohttpd fetches them when the socket has room;
 * when there are none the connection sleeps until the next write. The stream's memory belongs to
 * the response: it goes with its last reference.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/internal.h"

enum { BLOCK = 32 * 1024 };

struct http_stream {
	struct http_request *req; /* NULL once the connection has ended */
	struct MHD_Response *response;
	struct buf buf;
	bool refused; /* a write did not fit */
	bool ended;   /* by its owner: no callback any more */
	bool broken;  /* to be cut off */
	const struct http_stream_callbacks *callbacks;
	void *data;
};

static void tell_drained(struct http_stream *s)
{
	if (s->ended || !s->callbacks || !s->callbacks->drained)
		return;
	if (buf_len(&s->buf) > 0 && !(s->refused && buf_len(&s->buf) < HTTP_STREAM_BUFFER / 2))
		return;
	s->refused = false;
	s->callbacks->drained(s->data);
}

static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
	struct http_stream *s = cls;
	size_t n = buf_len(&s->buf);

	(void)pos;
	if (s->broken || !s->req || s->req->aborted)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0 && s->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0) {
		request_suspend(s->req);
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(out, buf_bytes(&s->buf), n);
	buf_consume(&s->buf, n);
	tell_drained(s);
	return (ssize_t)n;
}

bool stream_ending(struct http_stream *s)
{
	if (s->ended || !s->callbacks || !s->callbacks->ending)
		return false;
	s->callbacks->ending(s->data);
	assert(s->ended);
	return true;
}

void stream_completed(struct http_stream *s)
{
	bool tell = !s->ended;

	s->ended = true;
	s->broken = true;
	if (tell && s->callbacks && s->callbacks->gone)
		s->callbacks->gone(s->data);
}

void stream_detach(struct http_stream *s)
{
	stream_completed(s);
	s->req = NULL;
}

static void free_stream(void *cls)
{
	struct http_stream *s = cls;

	if (s->req) {
		s->req->stream = NULL;
		stream_completed(s);
	}
	buf_done(&s->buf);
	free(s);
}

struct http_stream *http_stream_begin(struct http_request *req, int status,
				      const char *content_type,
				      const struct http_stream_callbacks *callbacks, void *data)
{
	struct http_stream *s = calloc(1, sizeof(*s));
	struct MHD_Response *response = NULL;

	replay_drop(req);
	if (s)
		response = MHD_create_response_from_callback(req->stream_length, BLOCK, read_stream,
							     s, free_stream);
	if (!response) {
		free(s);
		request_set_response(req, 500, NULL);
		return NULL;
	}
	*s = (struct http_stream){
		.req = req,
		.response = response,
		.callbacks = callbacks,
		.data = data,
	};
	buf_init(&s->buf, HTTP_STREAM_BUFFER);
	if (content_type)
		(void)MHD_add_response_header(response, "Content-Type", content_type);
	if (!request_replies_with(req, "Cache-Control"))
		(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	/* libmicrohttpd ends a chunked body of no chunks also where HEAD wants none at all: the
	 * client must not look for its next reply behind that. */
	if (streq(req->method, "HEAD") && req->stream_length == MHD_SIZE_UNKNOWN)
		(void)MHD_add_response_header(response, "Connection", "close");
	req->gone = NULL;
	req->stream = s;
	request_set_response(req, (unsigned int)status, response);
	return s;
}

void http_stream_length(struct http_request *req, uint64_t length)
{
	req->stream_length = length;
}

static void wake(struct http_stream *s)
{
	if (s->req && s->req->queued)
		request_resume(s->req);
}

int http_stream_write(struct http_stream *s, const void *data, size_t len)
{
	int r;

	assert(!s->ended);
	r = buf_append(&s->buf, data, len);
	if (r == -ENOBUFS)
		s->refused = true;
	wake(s);
	return r;
}

size_t http_stream_room(const struct http_stream *s)
{
	return HTTP_STREAM_BUFFER - buf_len(&s->buf);
}

void http_stream_trailer(struct http_stream *s, const char *name, const char *value)
{
	(void)MHD_add_response_footer(s->response, name, value);
}

void http_stream_end(struct http_stream *s)
{
	assert(!s->ended);
	s->ended = true;
	wake(s);
}

void http_stream_abort(struct http_stream *s)
{
	assert(!s->ended);
	s->ended = true;
	s->broken = true;
	wake(s);
}
