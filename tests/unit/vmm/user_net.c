/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest on the user-mode network must not reach services on the host's loopback. Here the test is
 * the guest: it speaks Ethernet to the real passt over the socket that QEMU would get, and tries
 * every address that could lead to a listener on 127.0.0.1.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/vmm/qemu_net.h"
#include "tests/unit/test.h"

enum { FRAME_MAX = 2048, PATIENCE_MS = 10000, SILENCE_MS = 1000 };

static const uint8_t our_mac[6] = { 0x02, 0, 0, 0x12, 0x34, 0x56 };
static const uint8_t nobody[6] = { 0 };

/* One frame as QEMU's stream netdev sends it: its length in front. */
static void send_frame(int fd, const void *frame, size_t len)
{
	uint32_t size = htonl((uint32_t)len);

	assert_int_equal(send(fd, &size, sizeof(size), MSG_NOSIGNAL), sizeof(size));
	assert_int_equal(send(fd, frame, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* The next frame's length, or 0 when none came in time. */
static size_t receive_frame(int fd, uint8_t *frame, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint32_t size;

	if (poll(&p, 1, timeout_ms) != 1)
		return 0;
	assert_int_equal(recv(fd, &size, sizeof(size), MSG_WAITALL), sizeof(size));
	size = ntohl(size);
	assert_true(size <= FRAME_MAX);
	assert_int_equal(recv(fd, frame, size, MSG_WAITALL), (ssize_t)size);
	return size;
}

static void ethernet(struct ether_header *h, const uint8_t *to, uint16_t type)
{
	memcpy(h->ether_dhost, to, ETH_ALEN);
	memcpy(h->ether_shost, our_mac, ETH_ALEN);
	h->ether_type = htons(type);
}

/* Asks for the gateway's hardware address: passt is up when this returns. */
static void resolve(int fd, const char *gateway, uint8_t *ret_mac)
{
	struct {
		struct ether_header eth;
		struct ether_arp arp;
	} __attribute__((packed)) ask = { 0 };
	uint8_t frame[FRAME_MAX];
	static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	ethernet(&ask.eth, everybody, ETHERTYPE_ARP);
	ask.arp.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
	ask.arp.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
	ask.arp.ea_hdr.ar_hln = 6;
	ask.arp.ea_hdr.ar_pln = 4;
	ask.arp.ea_hdr.ar_op = htons(ARPOP_REQUEST);
	memcpy(ask.arp.arp_sha, our_mac, 6);
	(void)inet_pton(AF_INET, VMM_USER_NET_ADDRESS, ask.arp.arp_spa);
	(void)inet_pton(AF_INET, gateway, ask.arp.arp_tpa);
	send_frame(fd, &ask, sizeof(ask));
	for (;;) {
		size_t n = receive_frame(fd, frame, PATIENCE_MS);

		assert_true(n > 0);
		if (n >= sizeof(ask) && frame[12] == 0x08 && frame[13] == 0x06) {
			memcpy(ret_mac, frame + 6, 6);
			return;
		}
	}
}

static uint32_t sum(const void *data, size_t len, uint32_t start)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		start += (uint32_t)p[i] << 8 | p[i + 1];
	return start;
}

static uint16_t fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return htons((uint16_t)~value);
}

static void send_syn(int fd, const uint8_t *gateway_mac, const char *to, uint16_t port)
{
	struct {
		struct ether_header eth;
		struct iphdr ip;
		struct tcphdr tcp;
	} __attribute__((packed)) syn = { 0 };
	uint32_t pseudo;

	ethernet(&syn.eth, gateway_mac, ETHERTYPE_IP);
	syn.ip.version = 4;
	syn.ip.ihl = 5;
	syn.ip.tot_len = htons(sizeof(syn.ip) + sizeof(syn.tcp));
	syn.ip.ttl = 64;
	syn.ip.protocol = IPPROTO_TCP;
	(void)inet_pton(AF_INET, VMM_USER_NET_ADDRESS, &syn.ip.saddr);
	(void)inet_pton(AF_INET, to, &syn.ip.daddr);
	syn.ip.check = fold(sum((uint8_t *)&syn + sizeof(syn.eth), sizeof(syn.ip), 0));
	syn.tcp.source = htons(40000);
	syn.tcp.dest = htons(port);
	syn.tcp.seq = htonl(1);
	syn.tcp.doff = 5;
	syn.tcp.syn = 1;
	syn.tcp.window = htons(65000);
	pseudo = sum((uint8_t *)&syn + sizeof(syn.eth) + 12, 8, IPPROTO_TCP + sizeof(syn.tcp));
	syn.tcp.check = fold(
		sum((uint8_t *)&syn + sizeof(syn.eth) + sizeof(syn.ip), sizeof(syn.tcp), pseudo));
	send_frame(fd, &syn, sizeof(syn));
}

static int listen_on_loopback(uint16_t *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

static int open_user_net(bool restrict_out, enum qemu_net *ret_net)
{
	struct vmm_config config = { .libexec = LIBEXEC_DIR,
				     .run_dir = "/proc", /* nothing is counted */
				     .net = { .mode = VMM_NET_USER,
					      .mac = "02:00:00:12:34:56",
					      .tap_fd = -1,
					      .restrict_out = restrict_out } };
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)PATIENCE_MS * 1000,
				 .cancel_fd = -1 };
	struct error err = ERROR_INIT;
	int fd = -1;

	if (qemu_net_open(&config, &wait, ret_net, &fd, &err) < 0)
		fail_msg("%s", err.msg);
	return fd;
}

/* passt lives in one; in a chroot, for instance, the kernel makes none. */
static bool has_user_namespaces(void)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* A function of its own: skip() leaves the test without cleaning up. */
static bool can_run_passt(void)
{
	autofree char *passt = proc_find_program("passt");

	return passt && has_user_namespaces();
}

static void a_guest_can_not_reach_the_loopback(void **state)
{
	static const char *const doors[] = {
		VMM_USER_NET_GATEWAY, VMM_USER_NET_DNS, "127.0.0.1",
		"127.1.2.3",          "0.0.0.0",        VMM_USER_NET_ADDRESS
	};
	uint8_t frame[FRAME_MAX];
	uint8_t mac[6] = { 0 };
	enum qemu_net net;
	uint16_t port;

	(void)state;
	if (!can_run_passt())
		skip();
	autoclose int listening = listen_on_loopback(&port);
	autoclose int fd = open_user_net(false, &net);

	if (net == QEMU_NET_CLOSED)
		skip();
	assert_int_equal(net, QEMU_NET_STREAM);
	resolve(fd, VMM_USER_NET_GATEWAY, mac);
	assert_memory_not_equal(mac, nobody, sizeof(mac));
	for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
		send_syn(fd, mac, doors[i], port);
		while (receive_frame(fd, frame, SILENCE_MS) > 0)
			;
		if (accept(listening, NULL, NULL) >= 0)
			fail_msg("%s leads to the host's loopback", doors[i]);
	}
}

static void a_closed_network_has_no_other_side(void **state)
{
	enum qemu_net net;

	(void)state;
	assert_int_equal(open_user_net(true, &net), -1);
	assert_int_equal(net, QEMU_NET_CLOSED);
}

static void default_routes_are_seen(void **state)
{
	static const char head[] =
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\t"
		"MTU\tWindow\tIRTT\n";
	char text[512];

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", head,
		       "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
		       "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	assert_true(route_has_default(text));
	(void)snprintf(text, sizeof(text), "%s%s", head,
		       "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	assert_false(route_has_default(text));
	assert_false(route_has_default(head));
	assert_false(route_has_default(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_can_not_reach_the_loopback),
		cmocka_unit_test(a_closed_network_has_no_other_side),
		cmocka_unit_test(default_routes_are_seen),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
