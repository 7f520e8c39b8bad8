/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum {
	CONNECTIONS_MAX = 8,
	IDLE_US = 5 * 1000 * 1000,
	BURST_MAX = 64, /* datagrams answered before others get their turn */
	BIND_TRIES = 8,
};

struct connection {
	struct dns *dns;
	int fd; /* -1: free */
	struct loop_fd *source;
	struct loop_timer *timer;
	size_t len;
	uint8_t in[2 + DNS_MESSAGE_MAX];
};

struct dns {
	struct loop *loop;
	struct dns_config config;
	uint16_t port;
	int udp;
	int tcp;
	struct loop_fd *udp_source;
	struct loop_fd *tcp_source;
	struct connection connections[CONNECTIONS_MAX];
};

static void udp_ready(void *data, uint32_t events)
{
	struct dns *dns = data;

	(void)events;
	for (int i = 0; i < BURST_MAX; i++) {
		uint8_t query[DNS_MESSAGE_MAX];
		uint8_t reply[DNS_MESSAGE_MAX];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(dns->udp, query, sizeof(query), MSG_DONTWAIT | MSG_TRUNC,
				     (struct sockaddr *)&from, &from_len);
		size_t len;

		if (n < 0)
			return;
		if ((size_t)n > sizeof(query))
			continue;
		len = dns_answer(&dns->config, query, (size_t)n, reply);
		if (len > 0)
			(void)sendto(dns->udp, reply, len, MSG_DONTWAIT | MSG_NOSIGNAL,
				     (const struct sockaddr *)&from, from_len);
	}
}

static void connection_close(struct connection *c)
{
	if (c->fd < 0)
		return;
	loop_fd_remove(c->source);
	loop_timer_clear(c->timer);
	close_keep_errno(take_fd(&c->fd));
	c->source = NULL;
	c->len = 0;
	/* There is room again. */
	loop_fd_set_events(c->dns->tcp_source, EPOLLIN);
}

static void connection_idle(void *data)
{
	connection_close(data);
}

/* One query, one reply, then the end: 514 bytes always fit into the socket's buffer. */
static void connection_ready(void *data, uint32_t events)
{
	struct connection *c = data;
	uint8_t reply[2 + DNS_MESSAGE_MAX];
	size_t want;
	size_t len;
	ssize_t n = recv(c->fd, c->in + c->len, sizeof(c->in) - c->len, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		connection_close(c);
		return;
	}
	c->len += (size_t)n;
	if (c->len < 2)
		return;
	want = (size_t)c->in[0] << 8 | c->in[1];
	if (want > DNS_MESSAGE_MAX) {
		connection_close(c);
		return;
	}
	if (c->len < 2 + want)
		return;
	len = dns_answer(&c->dns->config, c->in + 2, want, reply + 2);
	reply[0] = (uint8_t)(len >> 8);
	reply[1] = (uint8_t)len;
	if (len > 0)
		(void)send(c->fd, reply, len + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
	connection_close(c);
}

static struct connection *free_slot(struct dns *dns)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (dns->connections[i].fd < 0)
			return &dns->connections[i];
	return NULL;
}

static void tcp_ready(void *data, uint32_t events)
{
	struct dns *dns = data;
	struct connection *c = free_slot(dns);
	autoclose int fd = -1;

	(void)events;
	if (!c) {
		/* Full: others wait in the backlog. */
		loop_fd_set_events(dns->tcp_source, 0);
		return;
	}
	fd = accept4(dns->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || loop_fd_add(dns->loop, fd, EPOLLIN, connection_ready, c, &c->source) < 0)
		return;
	c->fd = take_fd(&fd);
	c->len = 0;
	loop_timer_set(c->timer, IDLE_US);
}

/* A socket on 127.0.0.1:port; *port gets the one chosen where it was 0. */
static int bind_socket(int type, uint16_t *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	autoclose int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* A port in TIME_WAIT is not a port in use. Not for UDP, where two could share it. */
	if (type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)))
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, CONNECTIONS_MAX) < 0)
		return -errno;
	*port = ntohs(addr.sin_port);
	return take_fd(&fd);
}

/* The same port for both. */
static int open_sockets(struct dns *dns)
{
	for (int i = 0;; i++) {
		uint16_t port = dns->config.port;

		dns->udp = bind_socket(SOCK_DGRAM, &port);
		if (dns->udp < 0)
			return dns->udp;
		dns->tcp = bind_socket(SOCK_STREAM, &port);
		if (dns->tcp >= 0) {
			dns->port = port;
			return 0;
		}
		/* Any port will do, and this one was free for UDP only. */
		if (dns->config.port != 0 || i == BIND_TRIES)
			return dns->tcp;
		close_keep_errno(take_fd(&dns->udp));
	}
}

static int start(struct dns *dns)
{
	int r = open_sockets(dns);

	for (size_t i = 0; i < CONNECTIONS_MAX && r == 0; i++)
		r = loop_timer_new(dns->loop, connection_idle, &dns->connections[i],
				   &dns->connections[i].timer);
	if (r == 0)
		r = loop_fd_add(dns->loop, dns->udp, EPOLLIN, udp_ready, dns, &dns->udp_source);
	if (r == 0)
		r = loop_fd_add(dns->loop, dns->tcp, EPOLLIN, tcp_ready, dns, &dns->tcp_source);
	return r;
}

int dns_new(struct loop *loop, const struct dns_config *config, struct dns **ret_dns,
	    struct error *err)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int r;

	if (!dns)
		return error_errno(err, -ENOMEM, "dns");
	dns->loop = loop;
	dns->config = *config;
	dns->udp = -1;
	dns->tcp = -1;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		dns->connections[i].dns = dns;
		dns->connections[i].fd = -1;
	}
	r = start(dns);
	if (r == 0) {
		*ret_dns = dns;
		return 0;
	}
	dns_free(dns);
	if (r == -EADDRINUSE) {
		(void)error_set(err, ERR_BUSY,
				"DNS: port %u of 127.0.0.1 is in use by another program",
				config->port);
		return r;
	}
	return error_errno(err, r, "DNS on 127.0.0.1:%u", config->port);
}

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		connection_close(&dns->connections[i]);
		loop_timer_free(dns->connections[i].timer);
	}
	loop_fd_remove(dns->udp_source);
	loop_fd_remove(dns->tcp_source);
	close_keep_errno(dns->udp);
	close_keep_errno(dns->tcp);
	free(dns);
}

uint16_t dns_port(const struct dns *dns)
{
	return dns->port;
}
