/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 intake of both sides. The first byte chooses the side and how the rest is cut. The host
 * has a request under way. Each stream is closed exactly once, and the session ends at most once.
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"
#include "lib/link/session.h"
#include "tests/fuzz/fuzz.h"

struct side {
	struct link_session *session;
	int ended;
	int open; /* streams that have not been closed yet */
	bool pause;
};

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	const struct side *side = data;

	assert(side->open > 0 && len <= LINK_STREAM_WINDOW);
	(void)bytes;
	return !side->pause;
}

static void on_closed(void *data, const char *why)
{
	struct side *side = data;

	(void)why;
	assert(side->open-- > 0);
}

static const struct link_stream_ops stream_ops = { .data = on_data, .closed = on_closed };

static void on_request(void *data, struct link_stream *stream)
{
	struct side *side = data;

	(void)link_stream_header(stream, ":path");
	side->open++;
	link_stream_set_ops(stream, &stream_ops, side);
	if (link_stream_reply(stream, 200, NULL, 0, true) == 0)
		(void)link_stream_write(stream, "hello", 5);
}

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	struct side *side = data;

	(void)why;
	assert((rest || len == 0) && side->open == 0 && side->ended++ == 0);
}

static const struct link_session_ops session_ops = { .request = on_request, .ended = on_ended };

static void stop(void *data)
{
	loop_stop(data);
}

/* What calls have left for the loop to do. */
static void run_once(struct loop *loop, struct loop_timer *timer)
{
	loop_timer_set(timer, 0);
	assert(loop_run(loop) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_header headers[] = {
		{ ":method", "GET" }, { ":scheme", "http" }, { ":authority", "g" }, { ":path", "/" }
	};
	uint8_t choice = size > 0 ? data[0] : 0;
	enum link_role role = choice & 1 ? LINK_HOST : LINK_AGENT;
	size_t step = choice & 4 ? 1 + choice / 8U : size;
	struct side side = { .pause = choice & 2 };
	struct loop_timer *timer = NULL;
	struct loop *loop = NULL;
	int fds[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	assert(loop_new(&loop) == 0 && loop_timer_new(loop, stop, loop, &timer) == 0);
	assert(link_session_new(loop, fds[0], role, NULL, 0, &session_ops, &side, &side.session) ==
	       0);
	if (role == LINK_HOST &&
	    link_stream_open(side.session, headers, ARRAY_SIZE(headers), false, &stream_ops, &side))
		side.open++;
	run_once(loop, timer);
	for (size_t at = 1; at < size; at += step)
		link_session_feed(side.session, data + at, size - at < step ? size - at : step);
	run_once(loop, timer);
	link_session_free(side.session, "over");
	assert(side.open == 0);
	loop_timer_free(timer);
	loop_free(loop);
	close_keep_errno(fds[0]);
	close_keep_errno(fds[1]);
	return 0;
}
