/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/apt.h"

#include <errno.h>

#include "lib/base/macro.h"
#include "tests/unit/test.h"

static void a_line_of_print_uris(void **state)
{
	static const char line[] = "'http://deb.debian.org/debian/pool/main/b/busybox/"
				   "busybox-static_1.35.0-4%2bb1_amd64.deb' "
				   "busybox-static_1%3a1.35.0-4+b1_amd64.deb 928188 SHA256:3d3f\n";
	struct error err = ERROR_INIT;
	struct apt_package p;

	(void)state;
	assert_int_equal(apt_parse_uri(line, &p, &err), 0);
	assert_string_equal(p.name, "busybox-static");
	assert_string_equal(p.version, "1:1.35.0-4+b1");
	assert_string_equal(p.file, "busybox-static_1%3a1.35.0-4+b1_amd64.deb");
	assert_string_equal(p.digest, "SHA256:3d3f");
	assert_int_equal(p.size_bytes, 928188);
	assert_string_equal(p.uri, "http://deb.debian.org/debian/pool/main/b/busybox/"
				   "busybox-static_1.35.0-4%2bb1_amd64.deb");
}

static void bad_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"\n",
		"http://x/a_1_all.deb a_1_all.deb 1 SHA256:0",
		"'http://x/a_1_all.deb' a_1_all.deb",
		"'http://x/a_1_all.deb' a_1_all.deb -1 SHA256:0",
		"'http://x/a_1_all.deb' a_1_all.deb 12x SHA256:0",
		"'http://x/a_1_all.deb' a 1 SHA256:0",
		"'http://x/a_1_all.deb' a_all.deb 1 SHA256:0",
		"'http://x/a_1_all.deb' a_1_all.deb 99999999999999 SHA256:0",
		"'' a_1_all.deb 1 SHA256:0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct error err = ERROR_INIT;
		struct apt_package p;

		assert_true(apt_parse_uri(lines[i], &p, &err) < 0);
		assert_int_not_equal(err.code, ERR_NONE);
	}
}

static void a_dependency_by_prefix(void **state)
{
	static const char text[] = "linux-image-cloud-amd64\n"
				   "  Depends: linux-base\n"
				   "  Depends: linux-image-6.1.0-56-cloud-amd64\n"
				   "  Suggests: linux-doc\n";
	char name[64];
	char small[8];

	(void)state;
	assert_int_equal(apt_parse_depends(text, "linux-image-", name, sizeof(name)), 0);
	assert_string_equal(name, "linux-image-6.1.0-56-cloud-amd64");
	assert_int_equal(apt_parse_depends(text, "linux-doc", name, sizeof(name)), -ENOENT);
	assert_int_equal(apt_parse_depends(text, "linux-image-", small, sizeof(small)), -ENOENT);
	assert_int_equal(apt_parse_depends("", "x", name, sizeof(name)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_print_uris),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(a_dependency_by_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
