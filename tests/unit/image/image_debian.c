/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/mmdebstrap.h"

#include "lib/base/macro.h"
#include "tests/unit/test.h"

static void only_debian_and_only_the_suite(void **state)
{
	static const char targets[] =
		"Debian bookworm stable main http://m/debian/ /usr/share/keyrings/d.gpg\n"
		"Debian bookworm-updates bookworm-updates main http://m/debian/ $(SIGNED_BY)\n"
		"Debian bookworm-security bookworm-security main http://m/sec/\n"
		"Debian trixie trixie main http://m/debian/\n"
		"Debian bookwormish bookwormish main http://m/debian/\n"
		"Docker bookworm bookworm stable http://docker/\n"
		"Debian bookworm bookworm main http://m/[x]\n"
		"Debian bookworm\n"
		"\n";
	char sources[1024];
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(debian_sources(targets, "bookworm", sources, sizeof(sources), &err), 0);
	assert_string_equal(sources,
			    "deb [signed-by=/usr/share/keyrings/d.gpg] http://m/debian/ stable "
			    "main\n"
			    "deb http://m/debian/ bookworm-updates main\n"
			    "deb http://m/sec/ bookworm-security main\n");
	assert_true(debian_sources(targets, "sid", sources, sizeof(sources), &err) < 0);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.msg, "apt-get update"));
	err = ERROR_INIT;
	assert_true(debian_sources(targets, "bookworm", sources, 100, &err) < 0);
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void codename_of_os_release(void **state)
{
	static const struct {
		const char *text;
		const char *suite;
	} rows[] = {
		{ "ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm" },
		{ "VERSION_CODENAME=\"trixie\"\n", "trixie" },
		{ "ID=debian\nVERSION_CODENAME=sid", "sid" },
		{ "VERSION_CODENAME=--help\n", NULL },
		{ "XVERSION_CODENAME=x\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		char suite[DEBIAN_SUITE_MAX];
		int r = debian_codename(rows[i].text, suite, &err);

		assert_int_equal(r == 0, rows[i].suite != NULL);
		if (rows[i].suite)
			assert_string_equal(suite, rows[i].suite);
	}
}

static void lines_that_begin_stages(void **state)
{
	(void)state;
	assert_string_equal(debian_stage("I: downloading packages with apt..."), "download");
	assert_string_equal(debian_stage("I: creating tarball..."), "squashfs");
	assert_null(debian_stage("I: done"));
	assert_null(debian_stage("W: downloading packages with apt..."));
	assert_null(debian_stage(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_debian_and_only_the_suite),
		cmocka_unit_test(codename_of_os_release),
		cmocka_unit_test(lines_that_begin_stages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
