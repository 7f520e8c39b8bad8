/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/pump.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"

enum { ROOM_MIN = 4096, READ_MAX = 64 * 1024 };

void pump_init(struct pump *pump, struct loop *loop, struct link_stream *stream, int to_fd,
	       int from_fd)
{
	*pump = (struct pump){ .loop = loop, .stream = stream, .to_fd = to_fd, .from_fd = from_fd };
	buf_init(&pump->held, LINK_STREAM_WINDOW);
}

static void close_to(struct pump *pump)
{
	loop_fd_remove(TAKE_PTR(pump->to_source));
	close_keep_errno(take_fd(&pump->to_fd));
}

static void close_from(struct pump *pump)
{
	loop_fd_remove(TAKE_PTR(pump->from_source));
	close_keep_errno(take_fd(&pump->from_fd));
}

void pump_done(struct pump *pump)
{
	close_to(pump);
	close_from(pump);
	buf_done(&pump->held);
}

/* --- to the descriptor --- */

static void finish_to(struct pump *pump, int error)
{
	bool stopped = pump->stopped;

	close_to(pump);
	buf_done(&pump->held);
	pump->stopped = false;
	if (stopped)
		link_stream_resume(pump->stream);
	pump->to_done(pump->data, error);
}

/* How much went, or a negative errno; 0 when it would block. */
static ssize_t write_some(int fd, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = write(fd, bytes + at, len - at);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)at;
}

static void on_to(void *data, uint32_t events)
{
	struct pump *pump = data;
	ssize_t n = write_some(pump->to_fd, buf_bytes(&pump->held), buf_len(&pump->held));

	(void)events;
	if (n < 0) {
		finish_to(pump, (int)n);
		return;
	}
	buf_consume(&pump->held, (size_t)n);
	if (buf_len(&pump->held) > 0)
		return;
	loop_fd_remove(TAKE_PTR(pump->to_source));
	if (pump->peer_ended) {
		finish_to(pump, 0);
	} else if (pump->stopped) {
		pump->stopped = false;
		link_stream_resume(pump->stream);
	}
}

bool pump_data(struct pump *pump, const uint8_t *bytes, size_t len)
{
	ssize_t n = 0;
	int r = 0;

	if (pump->to_fd < 0)
		return true; /* nobody wants it */
	if (buf_len(&pump->held) == 0)
		n = write_some(pump->to_fd, bytes, len);
	if (n >= 0 && (size_t)n < len) {
		r = buf_append(&pump->held, bytes + n, len - (size_t)n);
		if (r == 0 && !pump->to_source)
			r = loop_fd_add(pump->loop, pump->to_fd, EPOLLOUT, on_to, pump,
					&pump->to_source);
		pump->stopped = true;
	}
	if (n < 0 || r < 0) {
		pump->stopped = false;
		finish_to(pump, n < 0 ? (int)n : r);
		return true;
	}
	return !pump->stopped;
}

void pump_end(struct pump *pump)
{
	pump->peer_ended = true;
	if (pump->to_fd >= 0 && buf_len(&pump->held) == 0)
		finish_to(pump, 0);
}

/* --- from the descriptor --- */

static void finish_from(struct pump *pump, int error)
{
	close_from(pump);
	pump->from_done(pump->data, error);
}

static void on_from(void *data, uint32_t events)
{
	struct pump *pump = data;
	uint8_t bytes[READ_MAX];
	size_t room = link_stream_room(pump->stream);
	ssize_t n;

	(void)events;
	if (room < ROOM_MIN) {
		loop_fd_remove(TAKE_PTR(pump->from_source));
		link_stream_want_room(pump->stream);
		return;
	}
	n = read(pump->from_fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
	if (n > 0)
		(void)link_stream_write(pump->stream, bytes, (size_t)n);
	else if (n == 0)
		finish_from(pump, 0);
	else if (errno != EAGAIN && errno != EINTR)
		finish_from(pump, -errno);
}

void pump_start(struct pump *pump)
{
	int r;

	if (pump->from_fd < 0 || pump->from_source)
		return;
	r = loop_fd_add(pump->loop, pump->from_fd, EPOLLIN, on_from, pump, &pump->from_source);
	if (r < 0)
		finish_from(pump, r);
}

void pump_writable(struct pump *pump)
{
	pump_start(pump);
}
