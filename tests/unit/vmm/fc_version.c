/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_version.h"

#include <errno.h>

#include "server/vmm/fc_install_hint.h"
#include "tests/unit/test.h"

static const char debian[] = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n";
static const char path[] = "/usr/bin/firecracker";

static struct fc_version version(const char *text)
{
	struct fc_version v = { 0 };

	assert_int_equal(fc_version_parse(text, &v), 0);
	return v;
}

static void versions_parse(void **state)
{
	struct fc_version v = version("v1.14.1");

	(void)state;
	assert_int_equal(v.major, 1);
	assert_int_equal(v.minor, 14);
	assert_int_equal(v.patch, 1);
	assert_string_equal(v.suffix, "");
	v = version("1.16.0-rc.1");
	assert_string_equal(v.suffix, "rc.1");
}

static void what_is_no_version_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"1.2",
		"1.2.",
		"1.2.3.4",
		"1.2.3-",
		"1.2.3 ",
		"V1.2.3",
		"-1.2.3",
		"1.+2.3",
		"01.2.3",
		"1.2.x",
		"vv1.2.3",
		"1.2.3-a_b",
		"99999999999.0.0",
		"1.2.3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct fc_version v = { .major = 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(fc_version_parse(bad[i], &v), -EINVAL);
	assert_int_equal(v.major, 7);
}

static void versions_compare(void **state)
{
	static const char *const ascending[] = {
		"0.25.2",         "1.4.9",         "1.5.0-alpha", "1.5.0-alpha.1", "1.5.0-alpha.2",
		"1.5.0-alpha.10", "1.5.0-alpha.b", "1.5.0-dev",   "1.5.0",         "1.5.1",
		"1.9.0",          "1.10.0",        "1.14.1",      "2.0.0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ascending); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(ascending); k++) {
			struct fc_version a = version(ascending[i]);
			struct fc_version b = version(ascending[k]);
			int r = fc_version_compare(&a, &b);

			assert_int_equal((r > 0) - (r < 0), (i > k) - (i < k));
		}
	}
}

static void only_the_version_line_is_read(void **state)
{
	static const struct {
		const char *output;
		const char *version; /* NULL: refused */
	} cases[] = {
		{ "Firecracker v1.14.1\n", "1.14.1" },
		{ "Firecracker v1.14.1\n\n2026-06-30T09:00:00.123456789 [anonymous-instance:main] "
		  "Firecracker exiting successfully. exit_code=0\n",
		  "1.14.1" },
		{ "Firecracker v1.5.0\nSupported snapshot data format versions: v0.23.0, v1.5.0\n",
		  "1.5.0" },
		{ "Firecracker v1.17.0-dev\r\n", "1.17.0-dev" },
		{ "Firecracker v1.7.0", "1.7.0" },
		{ "a warning first\nFirecracker v1.7.0\n", "1.7.0" },
		{ "Firecracker v1.7.0 with extras\n", NULL },
		{ "Firecracker vX\n", NULL },
		{ "Jailer v1.14.1\n", NULL },
		{ "I am Firecracker v1.14.1\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fc_version v = { 0 };
		char text[64];
		int r = fc_version_from_output(cases[i].output, &v);

		assert_int_equal(r, cases[i].version ? 0 : -EINVAL);
		if (cases[i].version)
			assert_string_equal(fc_version_format(&v, text, sizeof(text)),
					    cases[i].version);
	}
}

static void the_window_decides(void **state)
{
	static const struct {
		const char *output;
		enum fc_outcome outcome;
		const char *detail;
	} cases[] = {
		{ "Firecracker v1.14.1\n", FC_PASS,
		  "v1.14.1 at /usr/bin/firecracker (within tested range; min v1.5.0, tested "
		  "v1.14.1)" },
		{ "Firecracker v1.5.0\n", FC_PASS,
		  "v1.5.0 at /usr/bin/firecracker (within tested range; min v1.5.0, tested "
		  "v1.14.1)" },
		{ "Firecracker v1.14.2\n", FC_WARN,
		  "v1.14.2 at /usr/bin/firecracker (newer than tested, usually works; min v1.5.0, "
		  "tested v1.14.1)" },
		{ "Firecracker v1.4.9\n", FC_TOO_OLD,
		  "v1.4.9 at /usr/bin/firecracker (below the minimum, not used; min v1.5.0, tested "
		  "v1.14.1)" },
		{ "Firecracker v1.5.0-dev\n", FC_TOO_OLD,
		  "v1.5.0-dev at /usr/bin/firecracker (below the minimum, not used; min v1.5.0, "
		  "tested v1.14.1)" },
		{ "nothing of use\n", FC_UNREADABLE,
		  "/usr/bin/firecracker does not tell its version" },
		{ NULL, FC_UNREADABLE, "/usr/bin/firecracker does not tell its version" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fc_verdict verdict;

		fc_version_judge(path, cases[i].output, debian, &verdict);
		assert_int_equal(verdict.outcome, cases[i].outcome);
		assert_string_equal(verdict.detail, cases[i].detail);
		assert_int_equal(verdict.remedy[0] == '\0', cases[i].outcome == FC_PASS);
	}
}

static void a_missing_binary_gets_the_hint(void **state)
{
	struct fc_verdict verdict;

	(void)state;
	fc_version_judge(NULL, NULL, debian, &verdict);
	assert_int_equal(verdict.outcome, FC_MISSING);
	assert_string_equal(verdict.detail, "firecracker is not installed");
	assert_string_equal(verdict.remedy, "sudo apt-get install firecracker");
}

static void features_come_with_versions(void **state)
{
	struct fc_version v = version("1.12.0");

	(void)state;
	assert_true(fc_version_has(&v, 1, 12, 0));
	assert_true(fc_version_has(&v, 1, 9, 5));
	assert_false(fc_version_has(&v, 1, 12, 1));
	assert_false(fc_version_has(&v, 2, 0, 0));
	v = version("1.14.0-dev");
	assert_true(fc_version_has(&v, 1, 14, 0));
}

/* --- install hint --- */

static void hint_debian(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint(debian), "sudo apt-get install firecracker");
}

static void hint_ubuntu_through_id_like(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"),
			    "sudo apt-get install firecracker");
	assert_string_equal(fc_install_hint("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
			    "sudo apt-get install firecracker");
}

static void hint_arch(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint("NAME=\"Arch Linux\"\nID=arch\n"),
			    "paru -S firecracker-bin");
}

static void hint_manjaro(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint("ID=manjaro\nID_LIKE=arch\n"),
			    "paru -S firecracker-bin");
}

static void hint_nixos(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint("ID='nixos'\n"), "nix-env -iA nixos.firecracker");
}

static const char releases[] =
	"get a release from https://github.com/firecracker-microvm/firecracker/releases";

static void hint_fedora_falls_back(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint("ID=fedora\nVERSION_ID=40\n"), releases);
	/* Parts of words and other keys are no match. */
	assert_string_equal(fc_install_hint("VARIANT_ID=debian\nID=debianish\nID_LIKE=\"xdebian "
					    "archer\"\n"),
			    releases);
}

static void hint_without_os_release(void **state)
{
	(void)state;
	assert_string_equal(fc_install_hint(NULL), releases);
	assert_string_equal(fc_install_hint(""), releases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_parse),
		cmocka_unit_test(what_is_no_version_is_refused),
		cmocka_unit_test(versions_compare),
		cmocka_unit_test(only_the_version_line_is_read),
		cmocka_unit_test(the_window_decides),
		cmocka_unit_test(a_missing_binary_gets_the_hint),
		cmocka_unit_test(features_come_with_versions),
		cmocka_unit_test(hint_debian),
		cmocka_unit_test(hint_ubuntu_through_id_like),
		cmocka_unit_test(hint_arch),
		cmocka_unit_test(hint_manjaro),
		cmocka_unit_test(hint_nixos),
		cmocka_unit_test(hint_fedora_falls_back),
		cmocka_unit_test(hint_without_os_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
