/* SPDX-License-Identifier: Apache-2.0 */
/* The client of Firecracker's API against a server with its wire quirks, and against worse ones. */
#include "server/vmm/fc_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/vmm/run_dir.h"
#include "tests/unit/test.h"
#include "tests/unit/vmm/fc_server.h"

enum { SHORT_MS = 200, LONG_MS = 20 * 1000 };

#define OK_204 "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n"
#define WITH_BODY(status, length, body)                                                 \
	"HTTP/1.1 " status " \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n" \
	"Content-Type: application/json\r\nContent-Length: " length "\r\n\r\n" body

static struct vmm_wait wait_ms(int ms)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)ms * 1000,
				  .cancel_fd = -1 };
}

/* One call to a server that gives one answer. */
static int call_once(struct fc_server *s, const json_t *body, json_t **ret_reply, struct error *err)
{
	struct vmm_wait wait = wait_ms(LONG_MS);
	int r;

	fc_server_start(s);
	r = fc_call(s->dir_fd, RUN_API_SOCK, body ? "PUT" : "GET", "/thing", body, &wait, ret_reply,
		    err);
	fc_server_stop(s);
	return r;
}

static void a_request_is_sent_as_firecracker_wants_it(void **state)
{
	struct fc_server s = { .answers = { OK_204 }, .byte_by_byte = true };
	json_auto_t *body = json_pack("{s:i}", "a", 1);
	struct error err = ERROR_INIT;
	json_t *reply = body;

	(void)state;
	assert_int_equal(call_once(&s, body, &reply, &err), 0);
	assert_null(reply);
	assert_memory_equal(s.heard, "PUT /thing HTTP/1.1\r\n", 21);
	assert_non_null(strstr(s.heard, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(s.heard, "Content-Length: 7\r\n"));
	assert_non_null(strstr(s.heard, "\r\n\r\n{\"a\":1}"));
	assert_null(strstr(s.heard, "Expect"));
	assert_null(strstr(s.heard, "chunked"));
}

static void a_reply_comes_back_as_a_document(void **state)
{
	struct fc_server s = { .answers = { WITH_BODY("200", "33",
						      "{\"firecracker_version\":\"1.14.1\"} ") } };
	struct error err = ERROR_INIT;
	json_auto_t *reply = NULL;

	(void)state;
	assert_int_equal(call_once(&s, NULL, &reply, &err), 0);
	assert_string_equal(json_string_value(json_object_get(reply, "firecracker_version")),
			    "1.14.1");
	assert_memory_equal(s.heard, "GET /thing HTTP/1.1\r\n", 21);
}

static void errors_are_quoted(void **state)
{
	static const struct {
		const char *answer;
		enum error_code code;
		const char *says;
	} cases[] = {
		{ WITH_BODY("400", "40", "{\"fault_message\":\"Drive config error: x\"}"),
		  ERR_INTERNAL, "PUT /thing: Drive config error: x" },
		/* A raw newline, which no JSON parser takes. */
		{ WITH_BODY("400", "30", "{ \"error\": \"bad thing\nAll gone\" }"), ERR_INTERNAL,
		  "PUT /thing: bad thing All gone" },
		{ WITH_BODY("400", "0", ""), ERR_INTERNAL, "PUT /thing: refused without a reason" },
		{ "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\n"
		  "Content-Length: 40\r\n\r\n{ \"error\": \"Too many open connections\" }",
		  ERR_BUSY, "PUT /thing: the VMM's API is busy: Too many open connections" },
		{ WITH_BODY("413", "5", "\x1b[31m"), ERR_INTERNAL, "PUT /thing: ?[31m" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fc_server s = { .answers = { cases[i].answer } };
		json_auto_t *body = json_object();
		struct error err = ERROR_INIT;

		assert_true(call_once(&s, body, NULL, &err) < 0);
		assert_int_equal(err.code, cases[i].code);
		assert_string_equal(err.msg, cases[i].says);
	}
}

static void what_is_no_http_is_an_error(void **state)
{
	static const char *const bad[] = {
		"",
		"HTTP/1.1 2",
		"I am something else\r\n\r\n",
		WITH_BODY("200", "100", "{\"cut\":"),
		WITH_BODY("200", "5", "[1,2]x"),
		WITH_BODY("200", "9", "{\"a\":1,}x"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fc_server s = { .answers = { *bad[i] ? bad[i] : "\r\n" } };
		struct error err = ERROR_INIT;
		json_auto_t *reply = NULL;
		int r = call_once(&s, NULL, &reply, &err);

		if (i == 4) /* an array is a document */
			assert_int_equal(r, 0);
		else
			assert_true(r < 0);
	}
}

static void a_reply_without_end_is_bounded(void **state)
{
	static const char head[] = "HTTP/1.1 200 \r\n\r\n";
	static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
	size_t len = FC_REPLY_MAX + 100000;
	autofree char *flood = malloc(len);

	(void)state;
	assert_non_null(flood);
	for (int headers = 0; headers < 2; headers++) {
		struct fc_server s = { .answers = { flood }, .answer_lens = { len } };
		struct error err = ERROR_INIT;
		json_auto_t *reply = NULL;

		memset(flood, ' ', len);
		memcpy(flood, head, sizeof(head) - 1 - (headers ? 2 : 0));
		for (size_t at = sizeof(head) - 3; headers && at + sizeof(line) < len;
		     at += sizeof(line) - 1)
			memcpy(flood + at, line, sizeof(line) - 1);
		assert_true(call_once(&s, NULL, &reply, &err) < 0);
		assert_non_null(strstr(err.msg, "too large"));
	}
}

static void silence_ends_at_the_deadline_or_when_cancelled(void **state)
{
	autoclose int cancel = eventfd(1, EFD_CLOEXEC);
	struct fc_server s = { .answers = { NULL, NULL } };
	struct vmm_wait wait = wait_ms(SHORT_MS);
	struct error err = ERROR_INIT;

	(void)state;
	fc_server_start(&s);
	assert_int_equal(fc_call(s.dir_fd, RUN_API_SOCK, "GET", "/", NULL, &wait, NULL, &err),
			 -ETIMEDOUT);
	assert_int_equal(err.code, ERR_TIMEOUT);
	wait = wait_ms(LONG_MS);
	wait.cancel_fd = cancel;
	assert_int_equal(fc_call(s.dir_fd, RUN_API_SOCK, "GET", "/", NULL, &wait, NULL, &err),
			 -ECANCELED);
	fc_server_stop(&s);
}

static void nobody_there_is_told_apart(void **state)
{
	struct fc_server s = { .answers = { OK_204 } };
	struct vmm_wait wait = wait_ms(LONG_MS);
	struct error err = ERROR_INIT;

	(void)state;
	fc_server_start(&s);
	assert_true(fc_call(s.dir_fd, "other.sock", "GET", "/", NULL, &wait, NULL, &err) < 0);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	fc_server_stop(&s);
}

static void faults_are_found_in_any_body(void **state)
{
	static const struct {
		const char *body;
		const char *fault;
	} cases[] = {
		{ "{\"fault_message\":\"a \\\"b\\\" c\"}", "a \"b\" c" },
		{ "{ \"error\" : \"line\\nnext\" }", "line next" },
		{ "{\"fault_message\":\"cut off", "cut off" },
		{ "{\"fault_message\":\"cut off\\", "cut off\\" },
		{ "{\"fault_message\":5}", "{\"fault_message\":5}" },
		{ "plain words\n", "plain words" },
		{ "", "" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(
			fc_fault(cases[i].body, strlen(cases[i].body), buf, sizeof(buf)),
			cases[i].fault);
	(void)fc_fault("0123456789012345678901234567890123456789", 40, buf, sizeof(buf));
	assert_int_equal(strlen(buf), sizeof(buf) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_sent_as_firecracker_wants_it),
		cmocka_unit_test(a_reply_comes_back_as_a_document),
		cmocka_unit_test(errors_are_quoted),
		cmocka_unit_test(what_is_no_http_is_an_error),
		cmocka_unit_test(a_reply_without_end_is_bounded),
		cmocka_unit_test(silence_ends_at_the_deadline_or_when_cancelled),
		cmocka_unit_test(nobody_there_is_told_apart),
		cmocka_unit_test(faults_are_found_in_any_body),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
