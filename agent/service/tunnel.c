/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT: a TCP connection from inside the guest, to its loopback or anywhere it may reach. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/service/pump.h"
#include "agent/service/service.h"
#include "lib/base/cleanup.h"

enum { TARGETS_MAX = 2, HOST_MAX = 64 };

struct target {
	int family;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t len;
};

struct tunnel {
	struct agent *agent;
	struct link_stream *stream;
	struct target targets[TARGETS_MAX]; /* tried in turn */
	size_t n_targets;
	size_t next;
	int sock; /* while connecting */
	struct loop_fd *source;
	bool connected;
	struct pump pump;
};

static void tunnel_free(struct tunnel *t)
{
	loop_fd_remove(t->source);
	close_keep_errno(t->sock);
	if (t->connected)
		pump_done(&t->pump);
	free(t);
}

/* --- connected --- */

static void check_over(struct tunnel *t)
{
	/* Both ways have ended: the stream closes by itself and tells us. */
	if (t->pump.from_fd < 0)
		link_stream_finish(t->stream);
}

static void abort_tunnel(struct tunnel *t)
{
	link_stream_reset(t->stream);
	tunnel_free(t);
}

static void on_to_done(void *data, int error)
{
	struct tunnel *t = data;

	/* The other direction lives on its own duplicate of the socket. */
	if (error < 0)
		abort_tunnel(t);
	else if (t->pump.from_fd >= 0)
		(void)shutdown(t->pump.from_fd, SHUT_WR);
}

static void on_from_done(void *data, int error)
{
	struct tunnel *t = data;

	if (error < 0)
		abort_tunnel(t);
	else
		check_over(t);
}

static bool on_data(void *data, const uint8_t *bytes, size_t len)
{
	struct tunnel *t = data;

	return pump_data(&t->pump, bytes, len);
}

static void on_end(void *data)
{
	struct tunnel *t = data;

	if (t->connected)
		pump_end(&t->pump);
	else
		abort_tunnel(t);
}

static void on_writable(void *data)
{
	struct tunnel *t = data;

	if (t->connected)
		pump_writable(&t->pump);
}

static void on_closed(void *data, const char *why)
{
	(void)why;
	tunnel_free(data);
}

static const struct link_stream_ops tunnel_ops = {
	.data = on_data, .end = on_end, .writable = on_writable, .closed = on_closed
};

static void connected(struct tunnel *t)
{
	int other = fcntl(t->sock, F_DUPFD_CLOEXEC, 3);
	static const int one = 1;

	if (other < 0 || link_stream_reply(t->stream, 200, NULL, 0, true) < 0) {
		close_keep_errno(other);
		abort_tunnel(t);
		return;
	}
	(void)setsockopt(t->sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	loop_fd_remove(TAKE_PTR(t->source));
	pump_init(&t->pump, t->agent->loop, t->stream, take_fd(&t->sock), other);
	t->pump.to_done = on_to_done;
	t->pump.from_done = on_from_done;
	t->pump.data = t;
	t->connected = true;
	link_stream_set_ops(t->stream, &tunnel_ops, t);
	pump_start(&t->pump);
}

/* --- connecting --- */

static void connect_failed(struct tunnel *t, int r)
{
	struct error err = ERROR_INIT;
	struct link_stream *stream = t->stream;

	(void)error_errno(&err, r, "connect to %s", link_stream_header(stream, ":authority"));
	tunnel_free(t);
	agent_reply_error(stream, &err);
}

static void try_next(struct tunnel *t);

static void on_connect(void *data, uint32_t events)
{
	struct tunnel *t = data;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	(void)getsockopt(t->sock, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == 0) {
		connected(t);
		return;
	}
	loop_fd_remove(TAKE_PTR(t->source));
	close_keep_errno(take_fd(&t->sock));
	if (t->next < t->n_targets)
		try_next(t);
	else
		connect_failed(t, -error);
}

static void try_next(struct tunnel *t)
{
	int r = -ECONNREFUSED;

	while (t->next < t->n_targets) {
		const struct target *target = &t->targets[t->next++];

		t->sock = socket(target->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (t->sock >= 0 && (connect(t->sock, &target->address.any, target->len) == 0 ||
				     errno == EINPROGRESS)) {
			r = loop_fd_add(t->agent->loop, t->sock, EPOLLOUT, on_connect, t,
					&t->source);
			if (r == 0)
				return;
		} else {
			r = -errno;
		}
		close_keep_errno(take_fd(&t->sock));
	}
	connect_failed(t, r);
}

/* --- the address --- */

static void add_v4(struct tunnel *t, struct in_addr address, uint16_t port)
{
	struct target *target = &t->targets[t->n_targets++];

	*target = (struct target){ .family = AF_INET, .len = sizeof(target->address.v4) };
	target->address.v4.sin_family = AF_INET;
	target->address.v4.sin_port = htons(port);
	target->address.v4.sin_addr = address;
}

static void add_v6(struct tunnel *t, struct in6_addr address, uint16_t port)
{
	struct target *target = &t->targets[t->n_targets++];

	*target = (struct target){ .family = AF_INET6, .len = sizeof(target->address.v6) };
	target->address.v6.sin6_family = AF_INET6;
	target->address.v6.sin6_port = htons(port);
	target->address.v6.sin6_addr = address;
}

static bool parse_authority(struct tunnel *t, const char *authority)
{
	const char *colon = authority ? strrchr(authority, ':') : NULL;
	const char *start = authority;
	struct in6_addr v6;
	struct in_addr v4;
	char host[HOST_MAX];
	char *end;
	size_t len;
	long port;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtol(colon + 1, &end, 10);
	len = (size_t)(colon - start);
	if (len > 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	if (*end || port < 1 || port > UINT16_MAX || len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, start, len);
	host[len] = '\0';
	if (streq(host, "localhost")) {
		add_v4(t, (struct in_addr){ htonl(INADDR_LOOPBACK) }, (uint16_t)port);
		add_v6(t, in6addr_loopback, (uint16_t)port);
	} else if (inet_pton(AF_INET, host, &v4) == 1) {
		add_v4(t, v4, (uint16_t)port);
	} else if (inet_pton(AF_INET6, host, &v6) == 1) {
		add_v6(t, v6, (uint16_t)port);
	}
	return t->n_targets > 0;
}

/* Nothing can come before the reply but the end or a break. */
static const struct link_stream_ops connecting_ops = { .end = on_end, .closed = on_closed };

void tunnel_request(struct agent *agent, struct link_stream *stream)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	struct error err = ERROR_INIT;

	if (!t) {
		link_stream_reset(stream);
		return;
	}
	*t = (struct tunnel){ .agent = agent, .stream = stream, .sock = -1 };
	if (!parse_authority(t, link_stream_header(stream, ":authority"))) {
		free(t);
		(void)error_set(&err, ERR_INVALID, "not a numeric address with a port");
		agent_reply_error(stream, &err);
		return;
	}
	link_stream_set_ops(stream, &connecting_ops, t);
	try_next(t);
}
