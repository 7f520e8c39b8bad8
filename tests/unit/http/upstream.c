/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of servers in guests: what a proxy makes of them, whole and byte by byte. */
#include "server/http/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* "status|body|" and "end", "close" or "more"; or "bad". */
static void read_all(const char *text, size_t step, bool head_only, bool may_switch, char *ret,
		     size_t size)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t left = strlen(text);
	struct error err = ERROR_INIT;
	struct upstream u;
	size_t len = 0;
	int event = UPSTREAM_MORE;

	ret[0] = '\0';
	upstream_init(&u, head_only, may_switch);
	while (left > 0 && event >= 0 && event != UPSTREAM_END) {
		size_t n = left < step ? left : step;
		const uint8_t *bytes = at;
		size_t rest = n;

		do {
			const uint8_t *piece = NULL;
			size_t piece_len = 0;

			event = upstream_next(&u, &bytes, &rest, &piece, &piece_len, &err);
			if (event == UPSTREAM_HEAD)
				len += (size_t)snprintf(ret + len, size - len, "%d|", u.status);
			if (event == UPSTREAM_BODY)
				len += (size_t)snprintf(ret + len, size - len, "%.*s",
							(int)piece_len, (const char *)piece);
		} while (event == UPSTREAM_HEAD || event == UPSTREAM_BODY);
		at += n;
		left -= n;
	}
	if (event < 0)
		(void)snprintf(ret, size, "bad");
	else
		(void)snprintf(ret + len, size - len, "|%s",
			       event == UPSTREAM_END ? "end"
			       : upstream_closed(&u) ? "close"
						     : "more");
	upstream_done(&u);
}

static const struct {
	const char *text;
	const char *want;
	bool head_only, may_switch;
} rows[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200|hello|end", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", "200|hello|end", false,
	  false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "200|hel|more", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200||end", false, false },
	{ "HTTP/1.0 200 OK\n\nhello", "200|hello|close", false, false },
	{ "HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nx", "404|x|close", false, false },
	{ "HTTP/1.1 200\r\n\r\n", "200||close", false, false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n me\r\n0\r\n"
	  "Trailer: t\r\n\r\n",
	  "200|hello me|end", false, false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	  "200|hello|more", false, false },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 "
	  "OK\r\n"
	  "Content-Length: 1\r\n\r\nx",
	  "200|x|end", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200||end", true, false },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "204||end", false, false },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304||end", false, false },
	{ "HTTP/1.1 101 Switching\r\nUpgrade: w\r\n\r\nbytes", "101|bytes|more", false, true },
	{ "HTTP/1.1 101 Switching\r\nUpgrade: w\r\n\r\nbytes", "bad", false, false },
	{ "SSH-2.0-OpenSSH\r\n\r\n", "bad", false, false },
	{ "HTTP/2 200\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 999 x\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 20x\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nA: b\rX: y\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "bad", false,
	  false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "bad",
	  false, false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "bad", false, false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "bad", false,
	  false },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "bad", false,
	  false },
};

static void test_replies(void **state)
{
	static const size_t steps[] = { 1, 2, 7, 100000 };
	char got[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
			read_all(rows[i].text, steps[k], rows[i].head_only, rows[i].may_switch, got,
				 sizeof(got));
			if (strcmp(got, rows[i].want) != 0)
				fail_msg("row %zu, %zu at a time: %s, not %s", i, steps[k], got,
					 rows[i].want);
		}
	}
}

/* Returns what upstream_next() said of a reply that has `n` times `piece` behind its status line.
 */
static int endless(const char *piece, size_t n)
{
	static const uint8_t status[] = "HTTP/1.1 200 OK\r\n";
	const uint8_t *bytes = status;
	size_t len = sizeof(status) - 1;
	struct error err = ERROR_INIT;
	struct upstream u;
	const uint8_t *out = NULL;
	size_t out_len = 0;
	int r;

	upstream_init(&u, false, false);
	r = upstream_next(&u, &bytes, &len, &out, &out_len, &err);
	for (size_t i = 0; i < n && r >= 0; i++) {
		bytes = (const uint8_t *)piece;
		len = strlen(piece);
		r = upstream_next(&u, &bytes, &len, &out, &out_len, &err);
	}
	assert_true(r >= 0 || err.code == ERR_GUEST);
	upstream_done(&u);
	return r;
}

static void test_limits(void **state)
{
	(void)state;
	assert_int_equal(endless("a", 1000), UPSTREAM_MORE);
	assert_true(endless("a", UPSTREAM_HEAD_MAX) < 0);
	assert_int_equal(endless("a: b\r\n\r\n", 1), UPSTREAM_HEAD);
	assert_true(endless("\r\nHTTP/1.1 100 Go on\r\n", 100) >= 0); /* it was a final reply */
}

static void test_too_many_fields(void **state)
{
	char text[32 + 8 * (UPSTREAM_FIELDS_MAX + 1)];
	size_t len = 0;
	char got[64];

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		len = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n");
		for (int i = 0; i < UPSTREAM_FIELDS_MAX + extra; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "a:%d\r\n", i % 10);
		(void)snprintf(text + len, sizeof(text) - len, "\r\n");
		read_all(text, 100000, false, false, got, sizeof(got));
		assert_string_equal(got, extra ? "bad" : "200||close");
	}
}

static void test_hop_by_hop(void **state)
{
	(void)state;
	assert_true(upstream_hop_by_hop("transfer-encoding", NULL));
	assert_true(upstream_hop_by_hop("Connection", NULL));
	assert_true(upstream_hop_by_hop("X-Mine", "close, x-mine"));
	assert_false(upstream_hop_by_hop("X-Mine", "close, x-mine2"));
	assert_false(upstream_hop_by_hop("Content-Type", NULL));
	assert_true(upstream_list_has("keep-alive, Upgrade", "upgrade"));
	assert_false(upstream_list_has("upgraded", "upgrade"));
	assert_false(upstream_list_has(NULL, "upgrade"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_too_many_fields),
		cmocka_unit_test(test_hop_by_hop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
