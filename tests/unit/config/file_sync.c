/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of [file_sync]: what they mean, and what is refused. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"
#include "server/config/file_sync.h"

static void lines_are_understood(void **state)
{
	static const struct {
		const char *host, *value, *guest;
		mode_t mode;
	} cases[] = {
		{ "~/.gitconfig", "~/.gitconfig", ".gitconfig", 0600 },
		{ "/etc/x", "/root/etc/x", "etc/x", 0600 },
		{ "~/a", "~/b/c/ 0755", "b/c", 0755 },
		{ "~/a", "~/b 644", "b", 0644 },
		{ "~/a", "~//b   0400", "b", 0400 },
		{ "~/..a/b..", "~/..b/...", "..b/...", 0600 },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct file_sync one;

		assert_int_equal(file_sync_parse(cases[i].host, cases[i].value, &one, &err), 0);
		assert_string_equal(one.host, cases[i].host);
		assert_string_equal(one.guest, cases[i].guest);
		assert_int_equal(one.mode, cases[i].mode);
	}
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *host, *value, *word;
	} cases[] = {
		{ "", "~/a", "host path" },         { "a", "~/a", "host path" },
		{ "~", "~/a", "host path" },        { "~me/a", "~/a", "host path" },
		{ "~/../a", "~/a", "host path" },   { "/a/..", "~/a", "host path" },
		{ "/../a", "~/a", "host path" },    { "~/a", "", "guest path" },
		{ "~/a", "~", "guest path" },       { "~/a", "~/", "guest path" },
		{ "~/a", "/root", "guest path" },   { "~/a", "/rooted/a", "guest path" },
		{ "~/a", "/etc/a", "guest path" },  { "~/a", "a", "guest path" },
		{ "~/a", "~/../a", "guest path" },  { "~/a", "/root/a/../../b", "guest path" },
		{ "~/a", "~me/a", "guest path" },   { "~/a", "~/a 9", "mode" },
		{ "~/a", "~/a 0888", "mode" },      { "~/a", "~/a 07777777", "mode" },
		{ "~/a", "~/a rwxr-xr-x", "mode" },
	};
	char longest[2 * FILE_SYNC_PATH_MAX];
	struct file_sync one = { .mode = 1 };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(file_sync_parse(cases[i].host, cases[i].value, &one, &err) < 0);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.msg, cases[i].word));
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "~/", 2);
	longest[FILE_SYNC_PATH_MAX] = '\0';
	assert_true(file_sync_parse(longest, "~/a", &one, &err) < 0);
	assert_true(file_sync_parse("~/a", longest, &one, &err) < 0);
	assert_int_equal(one.mode, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_understood),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
