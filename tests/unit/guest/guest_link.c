/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/handshake.h"
#include "tests/unit/guest/rig.h"

struct asked {
	int calls;
	json_t *reply;
	struct error err;
};

static void on_reply(void *data, const json_t *reply, const struct error *err)
{
	struct asked *asked = data;

	asked->calls++;
	asked->reply = reply ? json_deep_copy(reply) : NULL;
	if (!reply)
		asked->err = *err;
}

static bool answered(void *data)
{
	return ((const struct asked *)data)->calls > 0;
}

static struct asked ask(struct rig *rig, const char *path, json_t *body, int timeout_ms)
{
	struct asked asked = { .calls = 0 };

	guest_call(rig->guest, path, body, timeout_ms, on_reply, &asked);
	rig_run(rig, answered, &asked);
	assert_int_equal(asked.calls, 1);
	return asked;
}

static void the_agent_introduces_itself(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig);
	assert_true(guest_is_up(rig.guest));
	assert_true(strlen(rig.info.agent_version) > 0);
	assert_int_equal(strlen(rig.info.boot_id), 36);
	assert_false(rig.info.degraded);
	rig_stop(&rig);
}

static void calls_are_answered(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_start(&rig);
	asked = ask(&rig, "/stats", json_object(), 10000);
	assert_non_null(asked.reply);
	assert_true(json_integer_value(json_object_get(asked.reply, "memory_total_bytes")) > 0);
	assert_true(json_integer_value(json_object_get(asked.reply, "cpus")) > 0);
	json_decref(asked.reply);
	asked = ask(&rig, "/sync", NULL, 60000);
	assert_non_null(asked.reply);
	json_decref(asked.reply);
	rig_stop(&rig);
}

static void a_listening_port_is_listed_with_its_process(void **state)
{
	autoclose int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_auto_t *reply = NULL;
	struct asked asked;
	struct rig rig;
	bool found = false;
	json_t *port;
	size_t i;

	(void)state;
	assert_int_equal(listen(sock, 1), 0);
	rig_start(&rig);
	asked = ask(&rig, "/ports", json_object(), 10000);
	reply = asked.reply;
	json_array_foreach (json_object_get(reply, "ports"), i, port)
		found = found || json_integer_value(json_object_get(port, "pid")) == getpid();
	assert_true(found);
	rig_stop(&rig);
}

static void what_the_agent_refuses_comes_with_its_reason(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_start(&rig);
	asked = ask(&rig, "/no-such-thing", NULL, 10000);
	assert_null(asked.reply);
	assert_int_equal(asked.err.code, ERR_NOT_FOUND);
	asked = ask(&rig, "/clock", json_pack("{s:s}", "realtime_us", "now"), 10000);
	assert_int_equal(asked.err.code, ERR_GUEST);
	assert_non_null(strstr(asked.err.msg, "realtime_us"));
	/* This agent shares its machine with the test. */
	asked = ask(&rig, "/poweroff", NULL, 10000);
	assert_non_null(strstr(asked.err.msg, "VM of its own"));
	asked = ask(&rig, "/identity", json_pack("{s:s}", "hostname", "other"), 10000);
	assert_non_null(strstr(asked.err.msg, "VM of its own"));
	rig_stop(&rig);
}

static void a_call_waits_for_the_link_but_not_for_ever(void **state)
{
	struct rig rig;
	struct asked asked;

	(void)state;
	rig_start(&rig);
	rig.unplugged = true;
	rig_break(&rig);
	rig_wait_down(&rig, 1);
	asked = ask(&rig, "/stats", NULL, 30);
	assert_int_equal(asked.err.code, ERR_TIMEOUT);
	rig.unplugged = false;
	asked = ask(&rig, "/stats", NULL, 60000);
	assert_non_null(asked.reply);
	json_decref(asked.reply);
	assert_int_equal(rig.up, 2);
	rig_stop(&rig);
}

static void the_end_of_the_vm_answers_calls(void **state)
{
	struct asked asked = { .calls = 0 };
	struct rig rig;

	(void)state;
	rig_start(&rig);
	guest_call(rig.guest, "/stats", NULL, 60000, on_reply, &asked);
	guest_free(rig.guest);
	rig.guest = NULL;
	assert_int_equal(asked.calls, 1);
	assert_int_equal(asked.err.code, ERR_GUEST);
	rig_stop(&rig);
}

/* --- the agent's end by hand: one stream for all connections, as a virtio-serial port has --- */

static void shake_hands(struct rig *rig, const char *nonce, char *text, size_t size)
{
	char hello[LINK_LINE_MAX];
	char answer[128];
	int n = snprintf(hello, sizeof(hello), LINK_HELLO "%s\n", nonce);

	assert_int_equal(write(rig->peer, hello, (size_t)n), n);
	(void)snprintf(answer, sizeof(answer), LINK_HELLO_OK "%s {", nonce);
	(void)rig_peer_read(rig, text, size, answer);
}

/*
 * Whatever an earlier connection has left half-sent: padding and hello get through. Each case is
 * what was sent behind a handshake.
 */
static void a_new_hello_ends_an_old_session_anywhere(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static const char padding[LINK_PADDING + 1] = { [0 ... LINK_PADDING - 1] = '\n' };
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "", 0 },
		{ preface, 3 },                   /* within the preface */
		{ preface, sizeof(preface) - 1 }, /* between frames */
		{ preface, sizeof(preface) - 5 }, /* within a frame's header */
		{ "garbage of no meaning at all, longer than a preface", 51 },
	};
	static const char half_frame[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
					 "\0\x40\0\x7e\0\0\0\0\0tail"; /* 16 KiB announced */
	static char text[256 * 1024];
	struct rig rig;
	int fds[2];

	(void)state;
	rig_start_alone(&rig);
	rig.unplugged = true;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	assert_int_equal(agent_link_add(&rig.agent, fds[1], true), 0);
	rig.peer = fds[0];
	for (size_t i = 0; i <= ARRAY_SIZE(cases); i++) {
		char nonce[LINK_NONCE_LEN + 1];
		const char *bytes = i < ARRAY_SIZE(cases) ? cases[i].bytes : half_frame;
		size_t len = i < ARRAY_SIZE(cases) ? cases[i].len : sizeof(half_frame) - 1;

		(void)snprintf(nonce, sizeof(nonce), "%032zx", i);
		assert_int_equal(write(rig.peer, padding, LINK_PADDING), LINK_PADDING);
		shake_hands(&rig, nonce, text, sizeof(text));
		assert_int_equal(write(rig.peer, bytes, len), (ssize_t)len);
	}
	assert_int_equal(write(rig.peer, padding, LINK_PADDING), LINK_PADDING);
	shake_hands(&rig, "ffffffffffffffffffffffffffffffff", text, sizeof(text));
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_agent_introduces_itself),
		cmocka_unit_test(calls_are_answered),
		cmocka_unit_test(a_listening_port_is_listed_with_its_process),
		cmocka_unit_test(what_the_agent_refuses_comes_with_its_reason),
		cmocka_unit_test(a_call_waits_for_the_link_but_not_for_ever),
		cmocka_unit_test(the_end_of_the_vm_answers_calls),
		cmocka_unit_test(a_new_hello_ends_an_old_session_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
