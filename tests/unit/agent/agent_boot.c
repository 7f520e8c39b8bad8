/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"

#include <arpa/inet.h>

#include "tests/unit/test.h"

static void words_are_read_and_others_left_alone(void **state)
{
	struct boot_report report = { .degraded = false };
	struct boot_settings s;

	(void)state;
	boot_parse_cmdline("console=ttyS0 banger.hostname=web quiet banger.init=system\n"
			   "banger.work=tmpfs banger.net=10.0.2.15/24,gw=10.0.2.2 bangery=1",
			   &s, &report);
	assert_false(report.degraded);
	assert_string_equal(s.hostname, "web");
	assert_true(s.system_init);
	assert_true(s.work_tmpfs);
	assert_string_equal(s.net, "10.0.2.15/24,gw=10.0.2.2");
}

static void bad_words_are_reported_and_have_no_effect(void **state)
{
	static const char *const lines[] = {
		"banger.hostname=-x-",
		"banger.hostname=UPPER",
		"banger.init=maybe",
		"banger.init",
		"banger.unknown=1",
		"banger.work=",
		"banger.hostname=0123456789012345678901234567890123456789012345678901234567890123",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct boot_report report = { .degraded = false };
		struct boot_settings s;

		boot_parse_cmdline(lines[i], &s, &report);
		assert_true(report.degraded);
		assert_true(strlen(report.problem) > 0);
		assert_string_equal(s.hostname, "");
		assert_false(s.system_init);
	}
}

static void the_first_value_counts(void **state)
{
	struct boot_report report = { .degraded = false };
	struct boot_settings s;

	(void)state;
	boot_parse_cmdline("banger.hostname=a banger.hostname=b", &s, &report);
	assert_string_equal(s.hostname, "a");
}

static void addresses_are_parsed(void **state)
{
	struct boot_net net;

	(void)state;
	assert_int_equal(boot_net_parse("10.1.2.3/24,gw=10.1.2.1,dns=1.1.1.1,dns=9.9.9.9,mtu=1400,"
					"dev=eth7",
					&net),
			 0);
	assert_int_equal(ntohl(net.address.s_addr), 0x0a010203);
	assert_int_equal(net.prefix, 24);
	assert_int_equal(ntohl(net.gateway.s_addr), 0x0a010201);
	assert_int_equal(net.n_dns, 2);
	assert_int_equal(net.mtu, 1400);
	assert_string_equal(net.dev, "eth7");
}

static void a_bridge_guest_is_told_mac_and_ipv6(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0x62, 0x0a, 0xd1, 0x00, 0x11 };
	char text[INET6_ADDRSTRLEN];
	struct boot_net net;

	(void)state;
	assert_int_equal(boot_net_parse("10.209.0.17/16,gw=10.209.0.1,mac=02:62:0a:d1:00:11,"
					"ip6=fd62::ad1:11/64,gw6=fd62::ad1:1",
					&net),
			 0);
	assert_memory_equal(net.mac, mac, sizeof(mac));
	assert_int_equal(net.prefix6, 64);
	assert_string_equal(inet_ntop(AF_INET6, &net.address6, text, sizeof(text)), "fd62::ad1:11");
	assert_string_equal(inet_ntop(AF_INET6, &net.gateway6, text, sizeof(text)), "fd62::ad1:1");
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const words[] = {
		"",
		"10.0.0.1",
		"10.0.0.1/33",
		"10.0.0.1/",
		"10.0.0/8",
		"10.0.0.1/8,gw=",
		"10.0.0.1/8,gw=x",
		"10.0.0.1/8,what=1",
		"10.0.0.1/8,mtu=100",
		"10.0.0.1/8,mtu=70000",
		"10.0.0.1/8,dev=../x",
		"10.0.0.1/8,dev=averyveryverylongname",
		"10.0.0.1/8,dns=1.1.1.1,dns=1.1.1.1,dns=1.1.1.1,dns=1.1.1.1",
		"10.0.0.1/8,mac=",
		"10.0.0.1/8,mac=02:00:00:00:00",
		"10.0.0.1/8,mac=02:00:00:00:00:1g",
		"10.0.0.1/8,mac=02:00:00:00:00:00:00",
		"10.0.0.1/8,ip6=fd62::1",
		"10.0.0.1/8,ip6=fd62::1/129",
		"10.0.0.1/8,ip6=10.0.0.1/64",
		"10.0.0.1/8,gw6=x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct boot_net net;

		assert_true(boot_net_parse(words[i], &net) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_read_and_others_left_alone),
		cmocka_unit_test(bad_words_are_reported_and_have_no_effect),
		cmocka_unit_test(the_first_value_counts),
		cmocka_unit_test(addresses_are_parsed),
		cmocka_unit_test(a_bridge_guest_is_told_mac_and_ipv6),
		cmocka_unit_test(bad_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
