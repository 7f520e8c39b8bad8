/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that lies: the test writes the agent's bytes itself. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/handshake.h"
#include "tests/unit/guest/rig.h"

static const char good_hello[] = "{\"agent_version\":\"1\",\"boot_id\":\"b\",\"boot_us\":1,"
				 "\"degraded\":false,\"problem\":\"\"}";

/* Behind a good handshake, each of these ends the link and nothing else. */
static void broken_http2_ends_the_link(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "no frame", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 43 },
		{ "a frame of 16 MiB", "\xff\xff\xff\0\0\0\0\0\1", 9 },
		{ "a frame of a byte more than the host takes", "\2\0\1\0\0\0\0\0\1", 9 },
		{ "headers of no stream",
		  "\0\0\0\4\0\0\0\0\0"
		  "\0\0\1\1\4\0\0\0\7\x88",
		  19 },
		{ "data of no stream",
		  "\0\0\0\4\0\0\0\0\0"
		  "\0\0\1\0\0\0\0\0\7x",
		  19 },
		{ "a pushed stream",
		  "\0\0\0\4\0\0\0\0\0"
		  "\0\0\5\5\4\0\0\0\1\0\0\0\2\x88",
		  23 },
		{ "a window beyond 2^31",
		  "\0\0\0\4\0\0\0\0\0"
		  "\0\0\4\x8\0\0\0\0\0\x7f\xff\xff\xff",
		  22 },
	};
	struct rig rig;

	(void)state;
	rig_start_alone(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_peer_answer(&rig, good_hello);
		rig_wait_up(&rig, (int)i + 1);
		assert_int_equal(write(rig.peer, cases[i].bytes, cases[i].len),
				 (ssize_t)cases[i].len);
		rig_wait_down(&rig, (int)i + 1);
		close_keep_errno(take_fd(&rig.peer));
	}
	rig_stop(&rig);
}

static void bad_answers_are_no_handshake(void **state)
{
	static const char *const hellos[] = {
		"",
		"not JSON",
		"[]",
		"{}",
		"{\"agent_version\":1,\"boot_id\":\"b\",\"boot_us\":1,\"degraded\":false}",
	};
	struct rig rig;

	(void)state;
	rig_start_alone(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(hellos); i++) {
		rig_peer_answer(&rig, hellos[i]);
		rig_wait_open(&rig, (int)i + 2);
		assert_int_equal(rig.up, 0);
	}
	rig_stop(&rig);
}

static void text_of_the_guest_is_made_printable(void **state)
{
	struct rig rig;

	(void)state;
	rig_start_alone(&rig);
	rig_peer_answer(&rig, "{\"agent_version\":\"\\u001b[31mred\",\"boot_id\":\"\\u00e9\","
			      "\"boot_us\":-5,\"degraded\":true,\"problem\":\"a\\nb\"}");
	rig_wait_up(&rig, 1);
	assert_string_equal(rig.info.agent_version, "?[31mred");
	assert_string_equal(rig.info.problem, "a?b");
	assert_true(rig.info.boot_us == 0);
	assert_true(rig.info.degraded);
	rig_stop(&rig);
}

static bool noise_ended(void *data)
{
	const struct rig *rig = data;
	static char noise[64 * 1024];

	memset(noise, 'x', sizeof(noise));
	(void)!write(rig->peer, noise, sizeof(noise));
	return rig->opens > 1;
}

/* Noise without an end before the answer: given up, and tried again later. */
static void endless_noise_is_cut_off(void **state)
{
	static char text[64 * 1024];
	struct rig rig;

	(void)state;
	rig_start_alone(&rig);
	(void)rig_peer_read(&rig, text, sizeof(text), LINK_HELLO);
	rig_run(&rig, noise_ended, &rig);
	assert_int_equal(rig.up, 0);
	rig_stop(&rig);
}

static bool call_ended(void *data)
{
	return *(const int *)data > 0;
}

static void count_reply(void *data, const json_t *reply, const struct error *err)
{
	int *n = data;

	assert_null(reply);
	assert_int_not_equal(err->code, ERR_NONE);
	(*n)++;
}

/* HEADERS of stream 1: `:status: 200`, and then header fields without an end. */
static void endless_headers_end_the_call(void **state)
{
	static const char status[] = "\0\0\0\4\0\0\0\0\0\0\0\1\1\0\0\0\0\1\x88";
	static uint8_t more[9 + 16000];
	struct rig rig;
	int replies = 0;

	(void)state;
	rig_start_alone(&rig);
	rig_peer_answer(&rig, good_hello);
	rig_wait_up(&rig, 1);
	guest_call(rig.guest, "/stats", NULL, 60000, count_reply, &replies);
	assert_int_equal(write(rig.peer, status, sizeof(status) - 1), (ssize_t)sizeof(status) - 1);
	more[1] = 16000 >> 8;
	more[2] = 16000 & 0xff;
	more[3] = 9; /* CONTINUATION */
	more[8] = 1;
	for (size_t at = 9; at + 40 <= sizeof(more); at += 40) { /* literal, name 1, value 37 */
		more[at] = 0;
		more[at + 1] = 1;
		more[at + 2] = 'x';
		more[at + 3] = 36;
		memset(more + at + 4, 'y', 36);
	}
	for (int i = 0; i < 20 && replies == 0; i++)
		(void)!write(rig.peer, more, sizeof(more));
	rig_run(&rig, call_ended, &replies);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_http2_ends_the_link),
		cmocka_unit_test(bad_answers_are_no_handshake),
		cmocka_unit_test(text_of_the_guest_is_made_printable),
		cmocka_unit_test(endless_noise_is_cut_off),
		cmocka_unit_test(endless_headers_end_the_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
