/* SPDX-License-Identifier: Apache-2.0 */
/* A little, as the echo of a key, beside streams of many bytes: how much of theirs goes before it.
 */
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"
#include "lib/link/session.h"
#include "tests/unit/test.h"

enum {
	BULK = 4, /* streams; the next one is the little one */
	PIECE = LINK_FRAME_MAX_HOST - LINK_FRAME_HEAD,
	ECHOES = 50,
};

struct end {
	struct loop *loop;
	struct link_session *host;
	struct link_session *agent;
	struct link_stream *little; /* the agent's */
	size_t made;                /* bulk bytes that the agent has made frames of */
	size_t came;                /* … that the host has got */
	size_t made_before;         /* … when the agent wrote the last echo */
	size_t most;                /* bytes that went before an echo though made after it */
	int n_requests;
	int echoes;
	int fds[2];
};

static struct end e;
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
	(void)data;
	e.made += len;
}

static void on_closed(void *data, const char *why)
{
	(void)data;
	(void)why;
}

/* The agent answers each byte with one. */
static bool on_key(void *data, const uint8_t *bytes, size_t len)
{
	(void)data;
	(void)bytes;
	assert_int_equal(len, 1);
	e.made_before = e.made;
	assert_int_equal(link_stream_write(e.little, "k", 1), 1);
	return true;
}

static const struct link_stream_ops bulk_ops = { .lend = lend,
						 .taken = taken,
						 .closed = on_closed };
static const struct link_stream_ops echo_ops = { .data = on_key, .closed = on_closed };

static void on_request(void *data, struct link_stream *stream)
{
	bool little = e.n_requests++ == BULK;

	(void)data;
	link_stream_set_ops(stream, little ? &echo_ops : &bulk_ops, NULL);
	if (little)
		e.little = stream;
	assert_int_equal(link_stream_reply(stream, 200, NULL, 0, true), 0);
}

/* --- the host --- */

static struct link_stream *streams[BULK + 1];

static void on_reply(void *data, int status)
{
	struct link_stream **stream = data;

	assert_int_equal(status, 200);
	if (stream == &streams[BULK])
		assert_int_equal(link_stream_write(*stream, "k", 1), 1);
	else
		link_stream_widen(*stream);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	size_t before = e.came - e.made_before;

	(void)bytes;
	if (data != &streams[BULK]) {
		e.came += len;
		return true;
	}
	e.most = e.came > e.made_before && before > e.most ? before : e.most;
	if (++e.echoes == ECHOES)
		loop_stop(e.loop);
	else
		assert_int_equal(link_stream_write(streams[BULK], "k", 1), 1);
	return true;
}

static const struct link_stream_ops host_ops = { .reply = on_reply,
						 .data = on_data,
						 .closed = on_closed };

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	(void)data;
	(void)rest;
	(void)len;
	fail_msg("the session ended: %s", why);
}

static const struct link_session_ops session_ops = { .request = on_request, .ended = on_ended };

static void an_echo_waits_for_a_frame_of_each_stream_at_most(void **state)
{
	static const struct link_header headers[] = { { ":method", "POST" },
						      { ":scheme", "http" },
						      { ":authority", "g" },
						      { ":path", "/" } };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, e.fds),
			 0);
	assert_int_equal(loop_new(&e.loop), 0);
	assert_int_equal(
		link_session_new(e.loop, e.fds[0], LINK_HOST, NULL, 0, &session_ops, NULL, &e.host),
		0);
	assert_int_equal(link_session_new(e.loop, e.fds[1], LINK_AGENT, NULL, 0, &session_ops, NULL,
					  &e.agent),
			 0);
	for (size_t i = 0; i <= BULK; i++) {
		streams[i] = link_stream_open(e.host, headers, ARRAY_SIZE(headers), i == BULK,
					      &host_ops, &streams[i]);
		assert_non_null(streams[i]);
	}
	assert_int_equal(loop_run(e.loop), 0);
	assert_int_equal(e.echoes, ECHOES);
	assert_true(e.came > (size_t)ECHOES * LINK_FRAME_MAX_HOST);
	print_message("at most %zu bytes went before an echo\n", e.most);
	assert_true(e.most <= (size_t)BULK * LINK_FRAME_MAX_HOST);
	link_session_free(e.host, "over");
	link_session_free(e.agent, "over");
	loop_free(e.loop);
	close_keep_errno(e.fds[0]);
	close_keep_errno(e.fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_echo_waits_for_a_frame_of_each_stream_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
