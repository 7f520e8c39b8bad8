/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client against a peer that says what the case tells it to, however wrong. */
#include "server/vmm/qmp.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "tests/unit/test.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define EVENT    "{\"event\": \"NOISE\"}\n"
#define READY    GREETING "{\"return\": {}, \"id\": 1}\r\n"

enum { SHORT_MS = 100, LONG_MS = 20 * 1000 };

/* The peer writes `first`, then one of `replies` for each line that it reads; then it closes, or
 * stays silent. */
struct peer {
	int fd;
	const char *first;
	const char *replies[4];
	bool byte_by_byte;
	bool hang;
	bool flood; /* events without end */
	char heard[4][512];
	int passed_fd;
	pthread_t thread;
};

static void say(const struct peer *p, const char *text)
{
	size_t step = p->byte_by_byte ? 1 : strlen(text);

	for (size_t at = 0; at < strlen(text); at += step)
		(void)!send(p->fd, text + at, step, MSG_NOSIGNAL);
}

static bool hear(struct peer *p, char *line, size_t size)
{
	size_t n = 0;

	for (;;) {
		union {
			struct cmsghdr align;
			char space[CMSG_SPACE(sizeof(int))];
		} control;
		char c;
		struct iovec iov = { .iov_base = &c, .iov_len = 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.space,
				      .msg_controllen = sizeof(control.space) };

		if (recvmsg(p->fd, &msg, MSG_CMSG_CLOEXEC) != 1)
			return false;
		if (msg.msg_controllen >= CMSG_LEN(sizeof(int)))
			memcpy(&p->passed_fd, CMSG_DATA(&control.align), sizeof(int));
		if (c == '\n') {
			line[n] = '\0';
			return true;
		}
		if (n + 1 < size)
			line[n++] = c;
	}
}

static void *peer_main(void *data)
{
	struct peer *p = data;
	char rest[512];

	if (p->first)
		say(p, p->first);
	for (size_t i = 0; i < ARRAY_SIZE(p->replies) && p->replies[i]; i++) {
		if (!hear(p, p->heard[i], sizeof(p->heard[i])))
			return NULL;
		say(p, p->replies[i]);
	}
	while (p->flood && send(p->fd, EVENT, sizeof(EVENT) - 1, MSG_NOSIGNAL) > 0)
		;
	while (p->hang && hear(p, rest, sizeof(rest)))
		;
	(void)shutdown(p->fd, SHUT_RDWR);
	return NULL;
}

/* Starts the peer; returns our end. */
static int peer_start(struct peer *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->fd = pair[1];
	p->passed_fd = -1;
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
	return pair[0];
}

static void peer_end(struct peer *p)
{
	(void)pthread_join(p->thread, NULL);
	(void)close(p->fd);
}

static struct vmm_wait wait_ms(int ms)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)ms * 1000,
				  .cancel_fd = -1 };
}

static void commands_are_answered_and_events_skipped(void **state)
{
	struct peer p = { .first = GREETING,
			  .replies = { "{\"event\": \"RESUME\"}\r\n{\"return\": {}, \"id\": 1}\r\n",
				       "{\"event\": \"STOP\", \"data\": {}}\r\n"
				       "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\r\n" } };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	json_auto_t *reply = NULL;
	struct qmp q;

	(void)state;
	p.byte_by_byte = true;
	assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), 0);
	assert_int_equal(qmp_call(&q, "query-status", json_pack("{s:i}", "x", 7), -1, &reply, &err),
			 0);
	assert_string_equal(json_string_value(json_object_get(reply, "status")), "paused");
	qmp_close(&q);
	peer_end(&p);
	assert_string_equal(p.heard[0], "{\"execute\":\"qmp_capabilities\",\"id\":1}");
	assert_string_equal(p.heard[1],
			    "{\"execute\":\"query-status\",\"id\":2,\"arguments\":{\"x\":7}}");
}

static void an_error_is_quoted_and_the_connection_stays(void **state)
{
	struct peer p = { .first = GREETING,
			  .replies = { "{\"return\": {}, \"id\": 1}\n",
				       "{\"error\": {\"class\": \"GenericError\", \"desc\": "
				       "\"no\\nway \\u001b[31m\"}, \"id\": 2}\n",
				       "{\"error\": 5, \"id\": 3}\n",
				       "{\"return\": 5, \"id\": 4}\n" } };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	struct qmp q;

	(void)state;
	assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), 0);
	assert_true(qmp_call(&q, "cont", NULL, -1, NULL, &err) < 0);
	assert_string_equal(err.msg, "cont: no?way ?[31m");
	err = ERROR_INIT;
	assert_true(qmp_call(&q, "cont", NULL, -1, NULL, &err) < 0);
	assert_string_equal(err.msg, "cont: refused without a reason");
	assert_int_equal(qmp_call(&q, "cont", NULL, -1, NULL, &err), 0);
	qmp_close(&q);
	peer_end(&p);
}

static void a_descriptor_goes_along(void **state)
{
	struct peer p = { .first = GREETING,
			  .replies = { "{\"return\": {}, \"id\": 1}\n",
				       "{\"return\": {}, \"id\": 2}\n" } };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	struct stat ours;
	struct stat theirs;
	struct qmp q;
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), 0);
	assert_int_equal(qmp_call(&q, "getfd", json_pack("{s:s}", "fdname", "x"), fd, NULL, &err),
			 0);
	qmp_close(&q);
	peer_end(&p);
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(fstat(p.passed_fd, &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	(void)close(fd);
	(void)close(p.passed_fd);
}

/* Each of these ends the connection with an error, and nothing else happens. */
static void a_hostile_peer_ends_the_connection(void **state)
{
	static const char *const bad[] = {
		"{\"return\": {}, \"id\": 9}\n",                 /* another command's */
		"{\"return\": {}}\n",                            /* nobody's */
		"{\"id\": 2}\n",                                 /* no answer */
		"{\"return\": {}, \"id\": \"2\"}\n",             /* id of another type */
		"[1, 2]\n",                                      /* no object */
		"\n",                                            /* nothing */
		"{\"return\": {}, \"return\": {}, \"id\": 2}\n", /* twice */
		"{\"return\": {}, \"id\": 2",                    /* half a line, then the end */
		"\xff\xfe\n",                                    /* no text */
		"",                                              /* the end */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct peer p = { .first = GREETING,
				  .replies = { "{\"return\": {}, \"id\": 1}\n", bad[i] } };
		struct vmm_wait wait = wait_ms(LONG_MS);
		struct error err = ERROR_INIT;
		struct qmp q;

		assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), 0);
		assert_true(qmp_call(&q, "stop", NULL, -1, NULL, &err) < 0);
		assert_memory_equal(err.msg, "stop: ", 6);
		assert_int_not_equal(err.code, ERR_BAD_REQUEST);
		err = ERROR_INIT;
		assert_true(qmp_call(&q, "stop", NULL, -1, NULL, &err) < 0);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		qmp_close(&q);
		peer_end(&p);
	}
}

static void a_line_without_end_is_bounded(void **state)
{
	autofree char *flood = malloc(QMP_LINE_MAX + 100000);
	struct peer p = { .first = flood };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	struct qmp q;

	(void)state;
	assert_non_null(flood);
	memset(flood, ' ', QMP_LINE_MAX + 100000);
	flood[QMP_LINE_MAX + 99999] = '\0';
	assert_true(qmp_open(&q, peer_start(&p), &wait, &err) < 0);
	assert_non_null(strstr(err.msg, "a line of more than"));
	assert_int_equal(q.fd, -1);
	peer_end(&p);
}

static void a_silent_peer_is_left_at_the_deadline(void **state)
{
	static const char *const firsts[] = { NULL, "{\"QMP\"", GREETING };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		struct peer p = { .first = firsts[i], .hang = true };
		struct vmm_wait wait = wait_ms(SHORT_MS);
		struct error err = ERROR_INIT;
		struct qmp q;

		assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), -ETIMEDOUT);
		assert_int_equal(err.code, ERR_TIMEOUT);
		peer_end(&p);
	}
}

/* Events keep coming, so bytes do arrive: the deadline holds all the same. */
static void events_without_end_do_not_outlast_the_deadline(void **state)
{
	struct vmm_wait wait = wait_ms(SHORT_MS);
	struct peer p = { .first = READY, .flood = true };
	struct error err = ERROR_INIT;
	struct qmp q;

	(void)state;
	assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), 0);
	assert_int_equal(qmp_call(&q, "stop", NULL, -1, NULL, &err), -ETIMEDOUT);
	qmp_close(&q);
	peer_end(&p);
}

static void a_wait_can_be_cancelled(void **state)
{
	int cancel = eventfd(1, EFD_CLOEXEC);
	struct peer p = { .first = NULL, .hang = true };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	struct qmp q;

	(void)state;
	wait.cancel_fd = cancel;
	assert_int_equal(qmp_open(&q, peer_start(&p), &wait, &err), -ECANCELED);
	assert_int_equal(err.code, ERR_CANCELLED);
	peer_end(&p);
	(void)close(cancel);
}

static void another_server_is_not_a_monitor(void **state)
{
	struct peer p = { .first = "{\"hello\": 1}\n" };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;
	struct qmp q;

	(void)state;
	assert_true(qmp_open(&q, peer_start(&p), &wait, &err) < 0);
	assert_string_equal(err.msg, "this is no QEMU monitor");
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_answered_and_events_skipped),
		cmocka_unit_test(an_error_is_quoted_and_the_connection_stays),
		cmocka_unit_test(a_descriptor_goes_along),
		cmocka_unit_test(a_hostile_peer_ends_the_connection),
		cmocka_unit_test(a_line_without_end_is_bounded),
		cmocka_unit_test(a_silent_peer_is_left_at_the_deadline),
		cmocka_unit_test(events_without_end_do_not_outlast_the_deadline),
		cmocka_unit_test(a_wait_can_be_cancelled),
		cmocka_unit_test(another_server_is_not_a_monitor),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
