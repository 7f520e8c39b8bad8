/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/address.h"

#include <errno.h>
#include <stdio.h>

#include "lib/helper/wire.h"
#include "tests/unit/test.h"

static const struct address_plan plan = { .subnet = 0x0ad10000,
					  .prefix = 16,
					  .ula = { 0xfd, 'b', 'a', 'n', 'g', 'r' } };
/* 10.0.0.16/28: 16 the network, 17 the gateway, 31 broadcast. */
static const struct address_plan small = { .subnet = 0x0a000010, .prefix = 28 };

static void the_first_guest_comes_behind_the_gateway(void **state)
{
	uint32_t a;

	(void)state;
	assert_int_equal(address_pick(&plan, NULL, 0, 0, &a), 0);
	assert_int_equal(a, 0x0ad10002);
	assert_int_equal(address_gateway(&plan), 0x0ad10001);
}

static void a_freed_address_is_used_again_late(void **state)
{
	const uint32_t used[] = { 0x0ad10004, 0x0ad10002 };
	uint32_t a;

	(void)state;
	assert_int_equal(address_pick(&plan, used, 2, 0, &a), 0);
	assert_int_equal(a, 0x0ad10003);
	assert_int_equal(address_pick(&plan, used, 2, 0x0ad10004, &a), 0);
	assert_int_equal(a, 0x0ad10005);
	/* Around the end, and a `last` of another network. */
	assert_int_equal(address_pick(&plan, used, 2, 0x0ad1fffe, &a), 0);
	assert_int_equal(a, 0x0ad10003);
	assert_int_equal(address_pick(&plan, used, 2, 0x0b000001, &a), 0);
	assert_int_equal(a, 0x0ad10003);
}

static void every_address_is_given_once_and_then_none(void **state)
{
	uint32_t used[13] = { 0 };
	uint32_t last = 0;
	uint32_t a;

	(void)state;
	for (size_t i = 0; i < 13; i++) {
		assert_int_equal(address_pick(&small, used, i, last, &used[i]), 0);
		last = used[i];
		assert_in_range(last, 0x0a000012, 0x0a00001e);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(used[j], last);
	}
	assert_int_equal(address_pick(&small, used, 13, last, &a), -ENOSPC);
	/* Doubles and strangers in the list do no harm. */
	used[0] = used[1];
	assert_int_equal(address_pick(&small, used, 13, last, &a), 0);
	assert_int_equal(a, 0x0a000012);
}

static void addresses_as_text(void **state)
{
	char text[ADDRESS_TEXT];
	uint8_t mac[6];
	uint8_t v6[16];

	(void)state;
	assert_string_equal(address_format(0x0ad10005, text), "10.209.0.5");
	helper_guest_mac(0x0ad10005, mac);
	assert_string_equal(address_format_mac(mac, text), "02:62:0a:d1:00:05");
	address_v6(&plan, 0x0ad10005, v6);
	assert_string_equal(address_format_v6(v6, text), "fd62:616e:6772::ad1:5");
}

static void collisions_with_routes_of_the_host(void **state)
{
	static const char head[] = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask"
				   "\t\tMTU\tWindow\tIRTT\n";
	static const struct {
		const char *line;
		const char *name; /* NULL: none */
	} cases[] = {
		{ "", NULL },
		{ "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", NULL },
		{ "eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0\n", NULL },
		{ "br-banger\t0000D10A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n", NULL },
		{ "docker0\t0000D10A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n", "docker0" },
		/* Ours inside theirs, theirs inside ours. */
		{ "wg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n", "wg0" },
		{ "x\t0307D10A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n", "x" },
		{ "eth0\tjunk\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n", NULL },
		{ "eth0\t0000D10A\n", NULL },
		{ "no tabs at all\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		char name[16] = "";

		(void)snprintf(text, sizeof(text), "%s%s", head, cases[i].line);
		assert_int_equal(address_collides(&plan, text, name), cases[i].name != NULL);
		assert_string_equal(name, cases[i].name ? cases[i].name : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_guest_comes_behind_the_gateway),
		cmocka_unit_test(a_freed_address_is_used_again_late),
		cmocka_unit_test(every_address_is_given_once_and_then_none),
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(collisions_with_routes_of_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
