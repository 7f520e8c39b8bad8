/* SPDX-License-Identifier: Apache-2.0 */
/* Which image of an index is taken, and what is said where there is none. */
#include "server/registry/document.h"

#include <stdio.h>

#include "lib/base/cleanup.h"
#include "tests/unit/test.h"

#define HEX              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WANTED           "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ENTRY(hex, more) "{\"digest\":\"sha256:" hex "\",\"size\":1" more "}"
#define AMD64(hex, more) \
	ENTRY(hex, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"" more "}")

static int parse(const char *entries, struct oci_manifest *m, struct error *err)
{
	autofree char *text = NULL;

	*err = ERROR_INIT;
	assert_true(asprintf(&text, "{\"schemaVersion\":2,\"manifests\":[%s]}", entries) > 0);
	return oci_manifest_parse(text, strlen(text), "amd64", m, err);
}

static void the_variant_that_asks_least_is_taken(void **state)
{
	static const struct {
		const char *entries;
	} rows[] = {
		{ AMD64(HEX, ",\"variant\":\"v3\"") "," AMD64(WANTED, "") },
		{ AMD64(WANTED, "") "," AMD64(HEX, ",\"variant\":\"v2\"") },
		{ AMD64(HEX, ",\"variant\":\"v3\"") "," AMD64(WANTED, ",\"variant\":\"v2\"") },
		{ AMD64(WANTED, "") "," AMD64(HEX, "") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct oci_manifest m;
		struct error err;

		assert_int_equal(parse(rows[i].entries, &m, &err), 0);
		assert_true(m.is_index);
		assert_string_equal(m.chosen.digest, "sha256:" WANTED);
	}
}

static void an_index_without_an_image_is_told(void **state)
{
	static const struct {
		const char *entries;
		const char *says;
	} rows[] = {
		{ "", "no image in it" },
		{ ENTRY(HEX, "") "," ENTRY(WANTED, ""), "none of its 2 images says which machine" },
		{ ENTRY(HEX, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}"),
		  "not there for linux/amd64, only for linux/arm64" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct oci_manifest m;
		struct error err;

		assert_true(parse(rows[i].entries, &m, &err) < 0);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		if (!strstr(err.msg, rows[i].says))
			fail_msg("'%s' is not in '%s'", rows[i].says, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_variant_that_asks_least_is_taken),
		cmocka_unit_test(an_index_without_an_image_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
