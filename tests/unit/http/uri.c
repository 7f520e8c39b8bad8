/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static void join(const struct uri *uri, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < uri->n_segments; i++)
		len += (size_t)snprintf(buf + len, size - len, "|%s", uri->segments[i]);
	for (size_t i = 0; i < uri->n_query; i++)
		len += (size_t)snprintf(buf + len, size - len, "?%s=%s", uri->query[i].name,
					uri->query[i].value);
}

static void test_accepted(void **state)
{
	static const struct {
		const char *target;
		const char *want;
	} rows[] = {
		{ "/", "" },
		{ "/vms", "|vms" },
		{ "/vms/", "|vms" },
		{ "/vms//x", "|vms||x" },
		{ "/vms/web?limit=3&label=a%3Db", "|vms|web?limit=3?label=a=b" },
		{ "/images/docker.io%2Fpython%3A3", "|images|docker.io/python:3" },
		{ "/a+b?q=a+b%2B", "|a+b?q=a b+" },
		{ "/%C3%A4?x", "|\xc3\xa4?x=" },
		{ "/x?", "|x" },
		{ "/x?a=1&&b=2=3", "|x?a=1?b=2=3" },
		{ "/x??a", "|x??a=" },
	};
	char got[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		struct uri uri;

		assert_int_equal(uri_parse(rows[i].target, &uri, &err), 0);
		join(&uri, got, sizeof(got));
		assert_string_equal(got, rows[i].want);
		uri_done(&uri);
	}
}

static void test_refused(void **state)
{
	static const char *const targets[] = {
		"",           "*",           "http://x/vms",
		"/..",        "/vms/../etc", "/vms/%2e%2e/etc",
		"/vms/.",     "/vms/%",      "/vms/%4",
		"/vms/%zz",   "/vms/%00",    "/vms/a%00b",
		"/vms/\xff",  "/vms/a\nb",   "/vms?\x7f",
		"/vms?x=%00",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct error err = ERROR_INIT;
		struct uri uri;

		if (uri_parse(targets[i], &uri, &err) == 0)
			fail_msg("%s was accepted", targets[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
	}
}

/* Escaped bytes that are no text are told, not refused: the route decides. */
static void test_bytes(void **state)
{
	static const struct {
		const char *target;
		size_t n_text;
		bool query_text;
	} rows[] = {
		{ "/vms/a/b?x=%C3%A4", 3, true }, { "/vms/%ff", 1, true },
		{ "/%c0%af/x", 0, true },         { "/vms/%ed%a0%80/x/y", 1, true },
		{ "/vms/%0d%0a/x", 1, true },     { "/%7f", 0, true },
		{ "/vms?%ff=1", 1, false },       { "/vms?x=%f8%88%80%80%80", 1, false },
		{ "/vms?x=%0a&y=1", 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		struct uri uri;

		assert_int_equal(uri_parse(rows[i].target, &uri, &err), 0);
		assert_int_equal(uri.n_text, rows[i].n_text);
		assert_int_equal(!uri.query_bad, rows[i].query_text);
		uri_done(&uri);
	}
}

static void test_limits(void **state)
{
	char target[2 * URI_LEN_MAX];
	struct error err = ERROR_INIT;
	struct uri uri;

	(void)state;
	memset(target, 'a', sizeof(target));
	target[0] = '/';
	target[URI_LEN_MAX] = '\0';
	assert_int_equal(uri_parse(target, &uri, &err), 0);
	uri_done(&uri);
	target[URI_LEN_MAX] = 'a';
	target[URI_LEN_MAX + 1] = '\0';
	assert_true(uri_parse(target, &uri, &err) < 0);
	for (size_t i = 0; i < 2 * URI_SEGMENTS_MAX; i++)
		target[i] = i % 2 ? 'a' : '/';
	target[2 * URI_SEGMENTS_MAX] = '\0';
	assert_int_equal(uri_parse(target, &uri, &err), 0);
	uri_done(&uri);
	memcpy(target + 2 * URI_SEGMENTS_MAX, "/a", 3);
	assert_true(uri_parse(target, &uri, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
