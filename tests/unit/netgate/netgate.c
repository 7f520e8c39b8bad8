/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "server/netgate/frames.h"
#include "server/netgate/relay.h"
#include "tests/unit/test.h"

/* Writes a frame to `to` into `data`, its length in front; returns all its bytes. */
static size_t ipv4(uint8_t *data, const char *to, size_t payload)
{
	size_t len = 14 + 20 + payload;
	uint32_t size = htonl((uint32_t)len);

	memset(data, 0x5a, FRAME_HEADER + len);
	memcpy(data, &size, sizeof(size));
	data[FRAME_HEADER + 12] = 0x08;
	data[FRAME_HEADER + 13] = 0x00;
	data[FRAME_HEADER + 14] = 0x45;
	assert_int_equal(inet_pton(AF_INET, to, data + FRAME_HEADER + 14 + 16), 1);
	return FRAME_HEADER + len;
}

static void addresses_of_this_host_are_closed(void **state)
{
	static const struct {
		const char *to;
		bool pass;
	} cases[] = {
		{ "127.0.0.1", false },       { "127.255.255.255", false },
		{ "0.0.0.0", false },         { "0.1.2.3", false },
		{ "169.254.169.254", false }, { "169.253.1.1", true },
		{ "10.0.2.2", true },         { "1.1.1.1", true },
		{ "255.255.255.255", true },  { "126.255.255.255", true },
		{ "128.0.0.1", true },        { "192.168.1.1", true },
	};
	uint8_t data[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = ipv4(data, cases[i].to, 8);

		assert_int_equal(frame_may_pass(data + FRAME_HEADER, len - FRAME_HEADER),
				 cases[i].pass);
	}
}

static void only_arp_and_ipv4_pass(void **state)
{
	uint8_t data[256];
	size_t len = ipv4(data, "1.1.1.1", 8) - FRAME_HEADER;
	uint8_t *frame = data + FRAME_HEADER;

	(void)state;
	assert_true(frame_may_pass(frame, len));
	for (size_t cut = 0; cut < 34; cut++)
		assert_false(frame_may_pass(frame, cut));
	frame[14] = 0x65; /* IPv6 in an IPv4 frame */
	assert_false(frame_may_pass(frame, len));
	frame[14] = 0x45;
	frame[12] = 0x81; /* VLAN */
	assert_false(frame_may_pass(frame, len));
	frame[12] = 0x86; /* IPv6 */
	frame[13] = 0xdd;
	assert_false(frame_may_pass(frame, len));
	frame[12] = 0x08; /* ARP */
	frame[13] = 0x06;
	assert_true(frame_may_pass(frame, len));
}

static void a_stream_is_filtered_however_it_is_cut(void **state)
{
	uint8_t stream[1024];
	uint8_t want[1024];
	size_t len = 0;
	size_t want_len = 0;
	static const char *const to[] = { "127.0.0.1", "1.1.1.1", "0.0.0.0", "8.8.8.8",
					  "127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		len += ipv4(stream + len, to[i], i * 7);
		if (i == 1 || i == 3)
			want_len += ipv4(want + want_len, to[i], i * 7);
	}
	for (size_t cut = 0; cut <= len; cut++) {
		uint8_t data[1024];
		uint8_t got[1024];
		size_t got_len = 0;
		size_t keep;
		size_t taken;

		memcpy(data, stream, cut);
		assert_true(frames_filter(data, cut, &keep, &taken));
		assert_true(keep <= taken && taken <= cut);
		memcpy(got, data, keep);
		got_len = keep;
		memcpy(data, stream + taken, len - taken);
		assert_true(frames_filter(data, len - taken, &keep, &taken));
		memcpy(got + got_len, data, keep);
		got_len += keep;
		assert_int_equal(got_len, want_len);
		assert_memory_equal(got, want, want_len);
	}
}

static void a_length_out_of_range_ends_the_stream(void **state)
{
	uint8_t zero[8] = { 0 };
	uint8_t huge[8] = { 0x00, 0x01, 0x00, 0x0f };
	uint8_t negative[8] = { 0xff, 0xff, 0xff, 0xff };
	size_t keep;
	size_t taken;

	(void)state;
	assert_false(frames_filter(zero, sizeof(zero), &keep, &taken));
	assert_false(frames_filter(huge, sizeof(huge), &keep, &taken));
	assert_false(frames_filter(negative, sizeof(negative), &keep, &taken));
	assert_true(frames_filter(zero, 3, &keep, &taken));
	assert_int_equal(taken, 0);
}

struct ends {
	int vmm;
	int passt;
	struct net_counters counters;
};

static void frames_are_counted_however_the_stream_is_cut(void **state)
{
	uint8_t stream[2048];
	size_t len = ipv4(stream, "1.1.1.1", 8);

	(void)state;
	len += ipv4(stream + len, "1.1.1.1", 1000);
	len += ipv4(stream + len, "1.1.1.1", 0);
	for (size_t piece = 1; piece <= len; piece++) {
		struct frame_tally tally = { .bytes = 0 };

		for (size_t at = 0; at < len; at += piece)
			frames_count(&tally, stream + at, len - at < piece ? len - at : piece);
		assert_int_equal(tally.frames, 3);
		assert_int_equal(tally.bytes, len - (size_t)3 * FRAME_HEADER);
	}
}

static void *relay_main(void *data)
{
	struct ends *e = data;

	relay_run(e->vmm, e->passt, &e->counters);
	(void)close(e->vmm);
	(void)close(e->passt);
	return NULL;
}

static void read_all(int fd, uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, data, len);

		assert_true(n > 0);
		data += n;
		len -= (size_t)n;
	}
}

static void the_relay_lets_through_what_may_pass_and_ends_with_a_side(void **state)
{
	static uint8_t big[FRAME_HEADER + FRAME_MAX];
	static uint8_t got[sizeof(big)];
	uint8_t small[256];
	struct ends ends;
	pthread_t thread;
	int vmm[2];
	int passt[2];
	size_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, vmm), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, passt), 0);
	ends = (struct ends){ .vmm = vmm[1], .passt = passt[1] };
	assert_int_equal(pthread_create(&thread, NULL, relay_main, &ends), 0);
	for (int i = 0; i < 20; i++) {
		len = ipv4(small, "127.0.0.1", 50);
		assert_int_equal(write(vmm[0], small, len), (ssize_t)len);
		len = ipv4(big, "1.1.1.1", FRAME_MAX - 34);
		assert_int_equal(len, sizeof(big));
		assert_int_equal(send(vmm[0], big, 1000, 0), 1000);
		assert_int_equal(send(vmm[0], big + 1000, len - 1000, 0), (ssize_t)len - 1000);
		read_all(passt[0], got, len);
		assert_memory_equal(got, big, len);
		len = ipv4(small, "10.0.2.15", 50);
		assert_int_equal(write(passt[0], small, len), (ssize_t)len);
		read_all(vmm[0], got, len);
		assert_memory_equal(got, small, len);
	}
	(void)close(vmm[0]);
	assert_int_equal(read(passt[0], got, 1), 0);
	(void)pthread_join(thread, NULL);
	(void)close(passt[0]);
	/* What was taken out is not among it. */
	assert_int_equal(ends.counters.tx_packets, 20);
	assert_int_equal(ends.counters.tx_bytes, 20 * FRAME_MAX);
	assert_int_equal(ends.counters.rx_packets, 20);
	assert_int_equal(ends.counters.rx_bytes, 20 * (14 + 20 + 50));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_this_host_are_closed),
		cmocka_unit_test(only_arp_and_ipv4_pass),
		cmocka_unit_test(a_stream_is_filtered_however_it_is_cut),
		cmocka_unit_test(a_length_out_of_range_ends_the_stream),
		cmocka_unit_test(frames_are_counted_however_the_stream_is_cut),
		cmocka_unit_test(the_relay_lets_through_what_may_pass_and_ends_with_a_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
