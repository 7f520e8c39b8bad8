/* SPDX-License-Identifier: Apache-2.0 */
#include "server/run/junit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

static unsigned char archive[1 << 16];
static size_t archive_len;

static void add(const char *name, char type, const char *content, size_t len)
{
	unsigned char *h = archive + archive_len;

	memset(h, 0, 512);
	(void)snprintf((char *)h, 100, "%s", name);
	(void)snprintf((char *)h + 124, 12, "%011o", (unsigned int)len & 0777777);
	h[156] = (unsigned char)type;
	memcpy(h + 257, "ustar", 6);
	memcpy(h + 512, content, len);
	archive_len += 512 + (len + 511) / 512 * 512;
}

static void add_text(const char *name, char type, const char *content)
{
	add(name, type, content, strlen(content));
}

static json_t *scan(size_t step)
{
	json_t *reports = json_array();
	struct junit *j = junit_new(reports);

	assert_non_null(j);
	for (size_t at = 0; at < archive_len; at += step)
		junit_feed(j, archive + at, at + step < archive_len ? step : archive_len - at);
	junit_free(j);
	return reports;
}

static int set_up(void **state)
{
	(void)state;
	memset(archive, 0, sizeof(archive));
	archive_len = 0;
	return 0;
}

static json_int_t number(const json_t *reports, size_t index, const char *name)
{
	return json_integer_value(json_object_get(json_array_get(reports, index), name));
}

static void finds_and_counts(void **state)
{
	static const char report[] =
		"<?xml version='1.0'?><testsuites><testsuite name='<a>'>"
		"<testcase name='one'/><testcase "
		"name='two'><failure>x</failure><failure/></testcase>"
		"<testcase><error "
		"message='&lt;testcase'/></testcase><testcase><skipped/></testcase>"
		"<!-- <testcase/> --><system-out><![CDATA[<testcase><failure>]]></system-out>"
		"</testsuite></testsuites>";

	(void)state;
	add_text("out/", '5', "");
	add_text("out/report.xml", '0', report);
	add_text("out/pom.xml", '0', "<project><testcase/></project>");
	add_text("out/report.txt", '0', report);
	add_text("././@LongLink", 'L', "out/a-long-name.xml");
	add_text("cut", '0', "<testsuite><testcase>");
	add_text("pax", 'x', "26 path=out/other.xml\n");
	add_text("cut", '0', "<testsuite>");
	archive_len += 1024;
	for (size_t step = 1; step < 2000; step = step * 3 + 1) {
		json_auto_t *reports = scan(step);

		assert_int_equal(json_array_size(reports), 3);
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(reports, 0), "path")),
			"out/report.xml");
		assert_int_equal(number(reports, 0, "tests"), 4);
		assert_int_equal(number(reports, 0, "failures"), 1);
		assert_int_equal(number(reports, 0, "errors"), 1);
		assert_int_equal(number(reports, 0, "skipped"), 1);
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(reports, 1), "path")),
			"out/a-long-name.xml");
		assert_int_equal(number(reports, 1, "tests"), 1);
	}
}

/* Nothing of it may be read or kept beyond the limits; the sanitizers judge. */
static void survives_nonsense(void **state)
{
	(void)state;
	add_text("a.xml", '0', "<testsuite><!-- <testcase/>");
	add_text("b.xml", '0', "<testsuite><![CDATA[");
	add_text("c.xml", '0', "<");
	add_text("x", 'x', "no record");
	add("\xff\xfe.xml", '0', "<testsuite>", 11);
	memcpy(archive + archive_len + 257, "ustar", 5);
	memcpy(archive + archive_len, "d.xml", 5);
	memset(archive + archive_len + 124, '7', 12);
	archive[archive_len + 156] = '0';
	archive_len += 4096;
	for (size_t step = 1; step < 700; step += 99) {
		json_auto_t *reports = scan(step);

		assert_int_equal(json_array_size(reports), 2);
	}
	memset(archive, 0x41, archive_len);
	json_auto_t *none = scan(512);
	assert_int_equal(json_array_size(none), 0);
}

static void has_a_limit(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		add_text("a.xml", '0', "<testsuite>");
	json_auto_t *reports = json_array();
	for (int round = 0; round < 10; round++) {
		struct junit *j = junit_new(reports);

		junit_feed(j, archive, archive_len);
		junit_free(j);
	}
	assert_int_equal(json_array_size(reports), JUNIT_FILES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_and_counts, set_up),
		cmocka_unit_test_setup(survives_nonsense, set_up),
		cmocka_unit_test_setup(has_a_limit, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
