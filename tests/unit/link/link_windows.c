/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes a peer that sends without end can leave with a host whose readers have stopped. */
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"
#include "lib/link/session.h"
#include "tests/unit/test.h"

enum { STREAMS = 2 * LINK_STREAMS_WIDE, PIECE = 32 * 1024 - LINK_FRAME_HEAD, ROUNDS = 20000 };

struct end {
	struct loop *loop;
	struct loop_timer *timer;
	struct link_session *host;
	struct link_session *agent;
	struct link_stream *streams[STREAMS]; /* the host's */
	size_t sent[STREAMS];                 /* by the agent */
	size_t n_requests;
	int fds[2];
};

/* --- the peer: as much as it is let --- */

static uint8_t memory[LINK_FRAME_HEAD + PIECE];

static ssize_t lend(void *data, uint8_t **ret_bytes, bool *ret_end)
{
	(void)data;
	*ret_bytes = memory + LINK_FRAME_HEAD;
	*ret_end = false;
	return PIECE;
}

static void taken(void *data, size_t len)
{
	size_t *sent = data;

	*sent += len;
}

static void agent_closed(void *data, const char *why)
{
	(void)data;
	(void)why;
}

static const struct link_stream_ops agent_ops = { .lend = lend,
						  .taken = taken,
						  .closed = agent_closed };

static void on_request(void *data, struct link_stream *stream)
{
	struct end *e = data;

	link_stream_set_ops(stream, &agent_ops, &e->sent[e->n_requests++ % STREAMS]);
	assert_int_equal(link_stream_reply(stream, 200, NULL, 0, true), 0);
}

/* --- the host: readers that take one piece and stop --- */

static void on_reply(void *data, int status)
{
	struct link_stream **stream = data;

	assert_int_equal(status, 200);
	link_stream_widen(*stream);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	(void)data;
	(void)bytes;
	assert_true(len <= LINK_DATA_MAX);
	return false;
}

static void host_closed(void *data, const char *why)
{
	struct link_stream **stream = data;

	(void)why;
	*stream = NULL;
}

static const struct link_stream_ops host_ops = { .reply = on_reply,
						 .data = on_data,
						 .closed = host_closed };

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	(void)data;
	(void)rest;
	(void)len;
	fail_msg("the session ended: %s", why);
}

static const struct link_session_ops session_ops = { .request = on_request, .ended = on_ended };

static void open_stream(struct end *e, size_t i)
{
	static const struct link_header headers[] = {
		{ ":method", "GET" }, { ":scheme", "http" }, { ":authority", "g" }, { ":path", "/" }
	};

	e->streams[i] = link_stream_open(e->host, headers, ARRAY_SIZE(headers), false, &host_ops,
					 &e->streams[i]);
	assert_non_null(e->streams[i]);
}

static void stop(void *data)
{
	loop_stop(data);
}

static void run_until_still(struct end *e)
{
	for (int i = 0; i < ROUNDS; i++) {
		loop_timer_set(e->timer, 0);
		assert_int_equal(loop_run(e->loop), 0);
	}
}

static int setup(void **state)
{
	static struct end e;

	e = (struct end){ .loop = NULL };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, e.fds),
			 0);
	assert_int_equal(loop_new(&e.loop), 0);
	assert_int_equal(loop_timer_new(e.loop, stop, e.loop, &e.timer), 0);
	assert_int_equal(
		link_session_new(e.loop, e.fds[0], LINK_HOST, NULL, 0, &session_ops, &e, &e.host),
		0);
	assert_int_equal(
		link_session_new(e.loop, e.fds[1], LINK_AGENT, NULL, 0, &session_ops, &e, &e.agent),
		0);
	*state = &e;
	return 0;
}

static int teardown(void **state)
{
	struct end *e = *state;

	link_session_free(e->host, "over");
	link_session_free(e->agent, "over");
	loop_timer_free(e->timer);
	loop_free(e->loop);
	close_keep_errno(e->fds[0]);
	close_keep_errno(e->fds[1]);
	return 0;
}

/* Of streams that have more than the usual window with the host, beside the piece that was taken.
 */
static size_t count_wide(const struct end *e)
{
	size_t n = 0;

	for (size_t i = 0; i < STREAMS; i++) {
		assert_in_range(e->sent[i], LINK_STREAM_WINDOW,
				LINK_STREAM_WINDOW_WIDE + LINK_DATA_MAX);
		n += e->sent[i] > LINK_STREAM_WINDOW + LINK_DATA_MAX;
	}
	return n;
}

static void few_streams_have_a_wide_window(void **state)
{
	struct end *e = *state;

	for (size_t i = 0; i < STREAMS; i++)
		open_stream(e, i);
	run_until_still(e);
	assert_int_equal(e->n_requests, STREAMS);
	assert_int_equal(count_wide(e), LINK_STREAMS_WIDE);
}

static void one_that_ends_makes_room_for_another(void **state)
{
	struct end *e = *state;

	for (size_t i = 0; i < STREAMS; i++)
		open_stream(e, i);
	run_until_still(e);
	/* Those that asked first have it; of the others some come anew. */
	for (size_t i = 0; i < STREAMS; i++) {
		if (e->sent[i] <= LINK_STREAM_WINDOW + LINK_DATA_MAX)
			continue;
		link_stream_reset(e->streams[i]);
		/* The agent counts its requests in order: the next one is this one's again. */
		e->n_requests = i;
		e->sent[i] = 0;
		open_stream(e, i);
		run_until_still(e);
		assert_true(e->sent[i] > LINK_STREAM_WINDOW + LINK_DATA_MAX);
		assert_int_equal(count_wide(e), LINK_STREAMS_WIDE);
		return;
	}
	fail_msg("no stream has a wide window");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(few_streams_have_a_wide_window, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_ends_makes_room_for_another, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
