/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_TXT = 16 };
enum { NOERROR = 0, NXDOMAIN = 3, REFUSED = 5, NOTHING = -1 };

static const uint8_t web_v6[16] = { 0xfd, 'b', 'a', 'n', 'g', 'r', [12] = 10, 209, 0, 5 };

static bool web(struct dns_host *ret)
{
	*ret = (struct dns_host){ .name = "web", .v4 = 0x0ad10005 };
	memcpy(ret->v6, web_v6, sizeof(web_v6));
	return true;
}

static bool by_name(void *data, const char *name, struct dns_host *ret_host)
{
	(void)data;
	if (streq(name, "old")) {
		*ret_host = (struct dns_host){ .name = "old", .v4 = 0x0ad10006 };
		return true;
	}
	return streq(name, "web") && web(ret_host);
}

static bool by_v4(void *data, uint32_t v4, struct dns_host *ret_host)
{
	(void)data;
	return v4 == 0x0ad10005 && web(ret_host);
}

static bool by_v6(void *data, const uint8_t v6[16], struct dns_host *ret_host)
{
	(void)data;
	return memcmp(v6, web_v6, 16) == 0 && web(ret_host);
}

static const struct dns_config config = { .by_name = by_name, .by_v4 = by_v4, .by_v6 = by_v6 };

/* A query for dotted `name`; its length. */
static size_t make_query(const char *name, uint16_t type, uint16_t class, uint8_t *q)
{
	static const uint8_t head[12] = { 0xab, 0xcd, 1, 0, 0, 1 };
	size_t n = sizeof(head);

	memcpy(q, head, sizeof(head));
	while (*name) {
		size_t len = strcspn(name, ".");

		q[n++] = (uint8_t)len;
		memcpy(q + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	q[n++] = 0;
	q[n++] = (uint8_t)(type >> 8);
	q[n++] = (uint8_t)type;
	q[n++] = (uint8_t)(class >> 8);
	q[n++] = (uint8_t) class;
	return n;
}

/* Code, number of answers, and the data of the one answer. */
static int ask(const char *name, uint16_t type, unsigned int *ret_answers, const uint8_t **ret_data)
{
	static uint8_t reply[DNS_MESSAGE_MAX];
	uint8_t q[DNS_MESSAGE_MAX];
	size_t n = make_query(name, type, 1, q);
	size_t len = dns_answer(&config, q, n, reply);

	if (len == 0)
		return NOTHING;
	assert_true(len >= 12);
	assert_int_equal(reply[0] << 8 | reply[1], 0xabcd);
	assert_true(reply[2] & 0x80);
	assert_true(reply[2] & 0x01);
	assert_int_equal(reply[5], 1);
	*ret_answers = reply[7];
	*ret_data = reply + len;
	if (*ret_answers) {
		/* The question is repeated; behind the owner come type, class, TTL, length, data.
		 */
		const uint8_t *rr = reply + n;

		rr += (*rr & 0xc0) ? 2 : strlen((const char *)rr) + 1;
		assert_int_equal(rr[0] << 8 | rr[1], type);
		assert_int_equal(rr[7], DNS_TTL_S);
		*ret_data = rr + 10;
	}
	return reply[3] & 15;
}

static void names_have_addresses(void **state)
{
	static const uint8_t v4[] = { 10, 209, 0, 5 };
	unsigned int answers;
	const uint8_t *data;

	(void)state;
	assert_int_equal(ask("web.vm", TYPE_A, &answers, &data), NOERROR);
	assert_int_equal(answers, 1);
	assert_memory_equal(data, v4, 4);
	assert_int_equal(ask("WeB.Vm", TYPE_A, &answers, &data), NOERROR);
	assert_int_equal(answers, 1);
	assert_int_equal(ask("web.vm", TYPE_AAAA, &answers, &data), NOERROR);
	assert_memory_equal(data, web_v6, 16);
	/* A name without that record is there all the same. */
	assert_int_equal(ask("old.vm", TYPE_AAAA, &answers, &data), NOERROR);
	assert_int_equal(answers, 0);
	assert_int_equal(ask("web.vm", TYPE_TXT, &answers, &data), NOERROR);
	assert_int_equal(answers, 0);
	assert_int_equal(ask("vm", TYPE_A, &answers, &data), NOERROR);
	assert_int_equal(answers, 0);
}

static void addresses_have_names(void **state)
{
	static const uint8_t target[] = "\3web\2vm";
	unsigned int answers;
	const uint8_t *data;

	(void)state;
	assert_int_equal(ask("5.0.209.10.in-addr.arpa", TYPE_PTR, &answers, &data), NOERROR);
	assert_memory_equal(data, target, sizeof(target));
	assert_int_equal(ask("5.0.0.0.1.d.a.0.0.0.0.0.0.0.0.0.0.0.0.0.2.7.7.6.e.6.1.6.2.6.d.f."
			     "ip6.arpa",
			     TYPE_PTR, &answers, &data),
			 NOERROR);
	assert_memory_equal(data, target, sizeof(target));
	/* Names are the same in either case (RFC 4343). */
	assert_int_equal(ask("5.0.0.0.1.D.A.0.0.0.0.0.0.0.0.0.0.0.0.0.2.7.7.6.e.6.1.6.2.6.d.f."
			     "IP6.ARPA",
			     TYPE_PTR, &answers, &data),
			 NOERROR);
	assert_memory_equal(data, target, sizeof(target));
	assert_int_equal(ask("6.0.209.10.in-addr.arpa", TYPE_PTR, &answers, &data), NXDOMAIN);
	assert_int_equal(ask("5.0.209.10.in-addr.arpa", TYPE_A, &answers, &data), NOERROR);
	assert_int_equal(answers, 0);
}

static void other_names_are_unknown_or_refused(void **state)
{
	static const char *const unknown[] = { "nobody.vm",
					       "a.web.vm",
					       "-web.vm",
					       "we_b.vm",
					       "x.5.209.10.in-addr.arpa",
					       "256.0.209.10.in-addr.arpa",
					       "0005.0.209.10.in-addr.arpa" };
	static const char *const refused[] = { "example.org",           "vm.example", "web.vmx", "",
					       "0.209.10.in-addr.arpa", "arpa",       "web" };
	unsigned int answers;
	const uint8_t *data;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_int_equal(ask(unknown[i], TYPE_A, &answers, &data), NXDOMAIN);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(ask(refused[i], TYPE_A, &answers, &data), REFUSED);
}

static void what_is_no_query_gets_no_reply(void **state)
{
	uint8_t reply[DNS_MESSAGE_MAX];
	uint8_t q[DNS_MESSAGE_MAX];
	size_t n = make_query("web.vm", TYPE_A, 1, q);

	(void)state;
	assert_true(dns_answer(&config, q, n, reply) > 0);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(dns_answer(&config, q, cut, reply), 0);
	q[2] = 0x81; /* a reply */
	assert_int_equal(dns_answer(&config, q, n, reply), 0);
	q[2] = 0x28; /* an update */
	assert_int_equal(dns_answer(&config, q, n, reply), 0);
	q[2] = 0;
	q[5] = 2;
	assert_int_equal(dns_answer(&config, q, n, reply), 0);
	q[5] = 0;
	assert_int_equal(dns_answer(&config, q, n, reply), 0);
	/* A name that points at itself. */
	q[5] = 1;
	q[12] = 0xc0;
	q[13] = 12;
	assert_int_equal(dns_answer(&config, q, n, reply), 0);
	/* Chaos class: refused. */
	n = make_query("web.vm", TYPE_A, 3, q);
	assert_true(dns_answer(&config, q, n, reply) > 0);
	assert_int_equal(reply[3] & 15, REFUSED);
}

/* Random bytes and random changes: no crash, no reply longer than allowed. */
static void junk_does_no_harm(void **state)
{
	uint8_t reply[DNS_MESSAGE_MAX];
	uint8_t q[DNS_MESSAGE_MAX];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n = make_query("5.0.209.10.in-addr.arpa", TYPE_PTR, 1, q);

		for (unsigned int k = arc4random_uniform(4) + 1; k > 0; k--)
			q[arc4random_uniform((uint32_t)n)] = (uint8_t)arc4random();
		assert_true(dns_answer(&config, q, n, reply) <= DNS_MESSAGE_MAX);
	}
}

/* --- over sockets --- */

struct running {
	struct loop *loop;
	struct dns *dns;
	pthread_t thread;
};

static void *run_loop(void *data)
{
	struct running *r = data;

	assert_int_equal(loop_run(r->loop), 0);
	return NULL;
}

static void start(struct running *r)
{
	struct error err = ERROR_INIT;

	assert_int_equal(loop_new(&r->loop), 0);
	assert_int_equal(dns_new(r->loop, &config, &r->dns, &err), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, run_loop, r), 0);
}

static void stop(struct running *r)
{
	loop_stop(r->loop);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	dns_free(r->dns);
	loop_free(r->loop);
}

static int connect_to(const struct running *r, int type)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(dns_port(r->dns)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static size_t read_reply(int fd, uint8_t *buf, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (len < size) {
		ssize_t n;

		assert_int_equal(poll(&p, 1, 10000), 1);
		n = recv(fd, buf + len, size - len, 0);
		assert_true(n >= 0);
		if (n == 0)
			break;
		len += (size_t)n;
		if (buf[0] == 0xab)
			break; /* a datagram */
	}
	return len;
}

static void answers_over_udp_and_tcp(void **state)
{
	struct running r;
	uint8_t q[2 + DNS_MESSAGE_MAX];
	uint8_t reply[2 + DNS_MESSAGE_MAX];
	size_t n = make_query("web.vm", TYPE_A, 1, q + 2);
	int udp;
	int tcp;

	(void)state;
	start(&r);
	udp = connect_to(&r, SOCK_DGRAM);
	assert_int_equal(send(udp, "junk", 4, 0), 4);
	assert_int_equal(send(udp, q + 2, n, 0), n);
	assert_int_equal(read_reply(udp, reply, sizeof(reply)), n + 2 + 10 + 4);
	assert_int_equal(reply[7], 1);
	/* A byte at a time, and two connections that say nothing in front. */
	tcp = connect_to(&r, SOCK_STREAM);
	close(connect_to(&r, SOCK_STREAM));
	q[0] = 0;
	q[1] = (uint8_t)n;
	for (size_t i = 0; i < n + 2; i++)
		assert_int_equal(send(tcp, q + i, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(read_reply(tcp, reply, sizeof(reply)), 2 + n + 2 + 10 + 4);
	assert_int_equal(reply[2 + 7], 1);
	close(tcp);
	/* A length beyond the limit ends the connection. */
	tcp = connect_to(&r, SOCK_STREAM);
	assert_int_equal(send(tcp, "\xff\xff", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(read_reply(tcp, reply, sizeof(reply)), 0);
	close(tcp);
	close(udp);
	stop(&r);
}

/* Silent connections are no way to shut others out of UDP, and are served once there is room. */
static void more_connections_than_places(void **state)
{
	struct running r;
	uint8_t q[2 + DNS_MESSAGE_MAX];
	uint8_t reply[2 + DNS_MESSAGE_MAX];
	size_t n = make_query("web.vm", TYPE_A, 1, q + 2);
	int fds[12];

	(void)state;
	start(&r);
	q[0] = 0;
	q[1] = (uint8_t)n;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_to(&r, SOCK_STREAM);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_int_equal(send(fds[i], q, n + 2, MSG_NOSIGNAL), n + 2);
		assert_int_equal(read_reply(fds[i], reply, sizeof(reply)), n + 2 + 2 + 10 + 4);
		close(fds[i]);
	}
	stop(&r);
}

static void a_busy_port_is_reported(void **state)
{
	struct dns_config again = config;
	struct running r;
	struct loop *loop;
	struct dns *dns = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	start(&r);
	again.port = dns_port(r.dns);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(dns_new(loop, &again, &dns, &err), -EADDRINUSE);
	assert_int_equal(err.code, ERR_BUSY);
	assert_null(dns);
	loop_free(loop);
	stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_addresses),
		cmocka_unit_test(addresses_have_names),
		cmocka_unit_test(other_names_are_unknown_or_refused),
		cmocka_unit_test(what_is_no_query_gets_no_reply),
		cmocka_unit_test(junk_does_no_harm),
		cmocka_unit_test(answers_over_udp_and_tcp),
		cmocka_unit_test(more_connections_than_places),
		cmocka_unit_test(a_busy_port_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
