/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/handshake.h"

#include <stdio.h>

#include "tests/unit/test.h"

static const char nonce[] = "0123456789abcdef0123456789abcdef";

/* Feeds `bytes` in pieces of `step`; returns the line found or NULL, with what was left over. */
static const char *scan_all(struct link_scan *scan, const char *bytes, size_t len, size_t step,
			    size_t *ret_left)
{
	const char *line = NULL;

	for (size_t at = 0; at < len && !line;) {
		size_t n = len - at < step ? len - at : step;
		size_t taken = link_scan_feed(scan, bytes + at, n, &line);

		assert_true(taken <= n);
		at += taken;
		*ret_left = len - at;
	}
	return line;
}

static void a_hello_is_found_behind_anything(void **state)
{
	static const char *const before[] = {
		"",
		"\n\n\n",
		"half a frame \x01\x02\xff of an older session\n",
		"BANGER-LINK\n",
		"BANGER-LINK 1",
		"BANGER-LINK 1 BANGER-LINK 1 \r",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		for (size_t step = 1; step < 200; step += 13) {
			struct link_scan scan;
			char text[512];
			const char *line;
			size_t left = 0;
			int n = snprintf(text, sizeof(text), "%s\n%s%s\nPRI", before[i], LINK_HELLO,
					 nonce);

			link_scan_init(&scan);
			line = scan_all(&scan, text, (size_t)n, step, &left);
			/* The last two entries make lines that begin like a hello: skipped by
			 * nonce. */
			while (line && !link_hello_nonce(line))
				line = scan_all(&scan, text + ((size_t)n - left), left, step,
						&left);
			assert_non_null(line);
			assert_string_equal(link_hello_nonce(line), nonce);
		}
	}
}

static void bytes_behind_the_line_are_not_taken(void **state)
{
	static const char text[] = "BANGER-LINK 1 0123456789abcdef0123456789abcdef\nrest";
	struct link_scan scan;
	const char *line;

	(void)state;
	link_scan_init(&scan);
	assert_int_equal(link_scan_feed(&scan, text, strlen(text), &line), strlen(text) - 4);
	assert_non_null(line);
}

static void an_endless_line_is_skipped(void **state)
{
	static char text[3 * LINK_LINE_MAX];
	struct link_scan scan;
	const char *line;
	char hello[128];
	int n = snprintf(hello, sizeof(hello), "\n%s%s\n", LINK_HELLO, nonce);

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, LINK_HELLO, strlen(LINK_HELLO));
	link_scan_init(&scan);
	assert_int_equal(link_scan_feed(&scan, text, sizeof(text), &line), sizeof(text));
	assert_null(line);
	assert_int_equal(link_scan_feed(&scan, hello, (size_t)n, &line), (size_t)n);
	assert_non_null(line);
	assert_string_equal(link_hello_nonce(line), nonce);
}

static void nonces_are_checked_to_the_letter(void **state)
{
	(void)state;
	assert_null(link_hello_nonce("BANGER-LINK 1 0123456789abcdef0123456789abcde"));
	assert_null(link_hello_nonce("BANGER-LINK 1 0123456789abcdef0123456789abcdef0"));
	assert_null(link_hello_nonce("BANGER-LINK 1 0123456789ABCDEF0123456789abcdef"));
	assert_null(link_hello_nonce("BANGER-LINK 2 0123456789abcdef0123456789abcdef"));
	assert_null(
		link_hello_answer("BANGER-LINK 1 OK 00000000000000000000000000000000 {}", nonce));
	assert_null(link_hello_answer("BANGER-LINK 1 OK 0123456789abcdef0123456789abcdef", nonce));
	assert_string_equal(
		link_hello_answer("BANGER-LINK 1 OK 0123456789abcdef0123456789abcdef {}", nonce),
		"{}");
}

static void two_nonces_differ(void **state)
{
	char a[LINK_NONCE_LEN + 1];
	char b[LINK_NONCE_LEN + 1];

	(void)state;
	assert_int_equal(link_nonce_new(a), 0);
	assert_int_equal(link_nonce_new(b), 0);
	assert_int_equal(strlen(a), LINK_NONCE_LEN);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_is_found_behind_anything),
		cmocka_unit_test(bytes_behind_the_line_are_not_taken),
		cmocka_unit_test(an_endless_line_is_skipped),
		cmocka_unit_test(nonces_are_checked_to_the_letter),
		cmocka_unit_test(two_nonces_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
