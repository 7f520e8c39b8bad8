/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/resolvers.h"

#include "tests/unit/test.h"

static void what_a_guest_can_reach_is_taken(void **state)
{
	char r[RESOLVERS_MAX][RESOLVER_TEXT];

	(void)state;
	assert_int_equal(resolvers_parse("# made by hand\n"
					 "search example.org\n"
					 "nameserver 192.0.2.53\n"
					 "nameserver\t 198.51.100.1 \r\n"
					 "options ndots:2\n",
					 r),
			 2);
	assert_string_equal(r[0], "192.0.2.53");
	assert_string_equal(r[1], "198.51.100.1");
}

static void no_more_than_a_guest_asks(void **state)
{
	char r[RESOLVERS_MAX][RESOLVER_TEXT];

	(void)state;
	assert_int_equal(resolvers_parse("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"
					 "nameserver 192.0.2.3\nnameserver 192.0.2.4",
					 r),
			 RESOLVERS_MAX);
	assert_string_equal(r[2], "192.0.2.3");
}

static void the_loopback_and_junk_are_left_out(void **state)
{
	static const char *const texts[] = {
		"",
		"\n\n",
		"nameserver",
		"nameserver 127.0.0.53\n",
		"nameserver 0.0.0.0",
		"nameserver 2001:db8::53\n",
		"nameserver 192.0.2.1.2\n",
		"nameservers 192.0.2.1\n",
		" nameserver 192.0.2.1\n",
		"#nameserver 192.0.2.1\n",
		"nameserver 192.0.2.1192.0.2.1192.0.2.1\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char r[RESOLVERS_MAX][RESOLVER_TEXT];

		assert_int_equal(resolvers_parse(texts[i], r), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_guest_can_reach_is_taken),
		cmocka_unit_test(no_more_than_a_guest_asks),
		cmocka_unit_test(the_loopback_and_junk_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
