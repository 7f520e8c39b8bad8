/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd on our loop: one daemon for the unix socket and one for TCP. Each has an epoll
 * descriptor that the loop watches and a timer for its next deadline; while nothing happens neither
 * fires. Everything runs on the loop's thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/http/embedded.h"
#include "server/http/preview.h"
#include "server/http/session.h"

enum {
	CONNECTIONS_MAX = 4096, /* of each listener, where the descriptor limit allows */
	IDLE_TIMEOUT_S = 60,
	/* Of each connection, for headers and as send buffer; cleared for each request. */
	POOL_BYTES = 32 * 1024,
	STARVED_US = 500 * 1000,
	TELL_AGAIN_US = 60 * 1000 * 1000,
};

/* --- driving the daemons --- */

/*
 * What libmicrohttpd does when accept() fails for want of descriptors or memory: with connections
 * open it takes no more until one of them closes, which may be hours away; without any it tries as
 * fast as it can. Here the first is given a connection that closes at once, the second a rest.
 */
static void starved(struct listener *l)
{
	int64_t now = clock_mono_us();

	if (l->told_us == 0 || now - l->told_us > TELL_AGAIN_US) {
		log_warn("new clients have to wait: the server is out of descriptors or memory");
		l->told_us = now;
	}
	if (l->retry_us <= now)
		l->retry_us = now + STARVED_US;
	if (l->open == 0)
		loop_fd_set_events(l->source, 0);
	loop_timer_set(l->timer, l->retry_us - now);
}

static void feed(struct listener *l)
{
	const struct sockaddr nobody = { .sa_family = AF_UNIX };
	int pair[2];

	if (l->open > 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
			return;
		close_keep_errno(pair[1]);
		/* It takes the descriptor, also when it fails. */
		(void)MHD_add_connection(l->daemon, pair[0], &nobody, sizeof(nobody));
	}
	l->starved = false;
	loop_fd_set_events(l->source, EPOLLIN);
}

static void pump(struct listener *l)
{
	unsigned long long timeout_ms;

	if (l->pumping) {
		l->again = true;
		return;
	}
	l->pumping = true;
	if (l->starved && clock_mono_us() >= l->retry_us)
		feed(l);
	(void)MHD_run(l->daemon);
	l->pumping = false;
	if (l->again) {
		l->again = false;
		loop_timer_set(l->timer, 0);
	} else if (l->starved) {
		starved(l);
	} else if (MHD_get_timeout(l->daemon, &timeout_ms) == MHD_YES) {
		loop_timer_set(l->timer, (int64_t)timeout_ms * 1000);
	} else {
		loop_timer_clear(l->timer);
	}
}

static void on_epoll(void *data, uint32_t events)
{
	(void)events;
	pump(data);
}

static void on_timer(void *data)
{
	pump(data);
}

void listener_kick(struct listener *l)
{
	if (l->pumping)
		l->again = true;
	else
		loop_timer_set(l->timer, 0);
}

/* --- callbacks of libmicrohttpd --- */

static void drop_unseen(struct client *client)
{
	if (client && client->unseen)
		request_free(TAKE_PTR(client->unseen));
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct http_request *req = request_new(cls, connection, target);

	if (req && req->client) {
		drop_unseen(req->client);
		req->client->unseen = req;
	}
	return req;
}

/* A reply that is ready is queued; a request that waits for one sleeps. */
static enum MHD_Result settle(struct http_request *req)
{
	if (req->aborted)
		return MHD_NO;
	if (req->response)
		return request_queue(req);
	request_suspend(req);
	return MHD_YES;
}

/*
 * The body is read as soon as its handler has said who takes it. Until then the connection sleeps,
 * and libmicrohttpd asks again as if for the first time.
 */
static enum MHD_Result on_upload(struct http_request *req)
{
	req->upload_late = !req->upload && !req->response && !req->aborted;
	return req->upload && !req->response && !req->aborted ? MHD_YES : settle(req);
}

/* Of what may have a body nothing is believed: a length that we do not see in a folded line would
 * make its body the next request. */
static bool may_have_body(const struct http_request *req, const char *method)
{
	return (!streq(method, MHD_HTTP_METHOD_GET) && !streq(method, MHD_HTTP_METHOD_HEAD)) ||
	       http_header(req, "Content-Length") || http_header(req, "Transfer-Encoding");
}

/*
 * The headers are there. An operation that reads its body itself begins at once. A reply that is
 * queued here costs the connection, so that without a body it waits for the request's end, which
 * follows.
 */
static enum MHD_Result on_headers(struct http_request *req, const char *method)
{
	req->seen = true;
	req->method = method;
	if (!req->client)
		return MHD_NO;
	req->client->unseen = NULL;
	if (intake_headers(req))
		return may_have_body(req, method) || req->suspended ? settle(req) : MHD_YES;
	if (req->op->body != BODY_STREAM)
		return MHD_YES;
	client_busy(req->client);
	req->dispatched = true;
	intake_dispatch(req);
	return on_upload(req);
}

/* The whole request is there, or a sleeping one has been woken. */
static enum MHD_Result on_end(struct http_request *req)
{
	if (!req->dispatched && !req->response) {
		req->dispatched = true;
		client_busy(req->client);
		intake_dispatch(req);
	} else if (req->upload && !req->upload_ended && !req->response && !req->aborted) {
		req->upload_ended = true;
		req->upload->end(req->upload_data);
	}
	return settle(req);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **req_cls)
{
	struct http_request *req = *req_cls;

	(void)cls;
	(void)connection;
	(void)url;
	if (!req)
		return MHD_NO;
	if (!req->seen) {
		req->wants_host = streq(version, MHD_HTTP_VERSION_1_1);
		return on_headers(req, method);
	}
	if (req->upload_late)
		return on_upload(req);
	if (req->aborted)
		return MHD_NO;
	if (*upload_size > 0)
		return intake_body(req, upload, upload_size) ? MHD_YES : MHD_NO;
	return on_end(req);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **req_cls,
			 enum MHD_RequestTerminationCode why)
{
	struct http_request *req = *req_cls;
	loop_fn *gone;

	(void)cls;
	(void)connection;
	(void)why;
	if (!req)
		return;
	*req_cls = NULL;
	gone = req->gone;
	req->gone = NULL;
	if (gone)
		gone(req->gone_data);
	replay_drop(req);
	if (req->stream)
		stream_detach(req->stream);
	if (req->tunnel)
		tunnel_abort(req->tunnel);
	if (req->client)
		client_idle(req->client);
	if (req->client && req->client->unseen == req)
		req->client->unseen = NULL;
	request_free(req);
}

/* A peer of the unix socket is known from here on by its uid. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct listener *l = cls;
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	int fd;

	if (what != MHD_CONNECTION_NOTIFY_STARTED) {
		l->server->counts.connections--;
		l->open--;
		/* The next one is let in by a run after that of the close. */
		listener_kick(l);
		drop_unseen(*socket_context);
		client_free(*socket_context);
		*socket_context = NULL;
		return;
	}
	l->server->counts.connections++;
	l->open++;
	fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	if (!l->tcp)
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	*socket_context = client_new(&l->clients, fd, cred.uid);
	if (!*socket_context)
		(void)shutdown(fd, SHUT_RDWR);
	if (!l->tcp && !auth_peer_allowed(cred.uid)) {
		log_warn("refused a connection of uid %u to the unix socket", cred.uid);
		(void)shutdown(fd, SHUT_RDWR);
	}
}

static void on_log(void *cls, const char *fmt, va_list ap)
{
	static const char no_accept[] = "Hit process or system resource limit";
	struct listener *l = cls;
	char text[256];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	l->starved |= strncmp(text, no_accept, strlen(no_accept)) == 0;
	text[strcspn(text, "\n")] = '\0';
	log_debug("libmicrohttpd: %s", text);
}

/* --- start and end --- */

static unsigned int connection_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 4 > CONNECTIONS_MAX)
		return CONNECTIONS_MAX;
	return (unsigned int)(limit.rlim_cur / 4);
}

/* TLS for the TCP port: libmicrohttpd reads the texts while it starts. */
static int tls_read(struct http_server *s, struct error *err)
{
	int r;

	if (!s->config.tls_cert || !s->config.tcp_host)
		return 0;
	r = read_pem(s->config.tls_cert, false, &s->tls_cert, err);
	return r < 0 ? r : read_pem(s->config.tls_key, true, &s->tls_key, err);
}

static void forget_key(struct http_server *s)
{
	if (s->tls_key)
		explicit_bzero(s->tls_key, strlen(s->tls_key));
	free(TAKE_PTR(s->tls_key));
	free(TAKE_PTR(s->tls_cert));
}

static int listener_start(struct listener *l, int fd, struct error *err)
{
	bool tls = l->tcp && l->server->tls_key;
	unsigned int limit = connection_limit();
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limit, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES, NULL },
		{ tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, l->server->tls_cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, l->server->tls_key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0,
		  (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
		{ MHD_OPTION_END, 0, NULL },
	};
	const union MHD_DaemonInfo *info;
	int r;

	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG |
			(tls ? MHD_USE_TLS : 0U),
		0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, l,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_target, l,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, l, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!l->daemon) {
		close_keep_errno(fd);
		if (tls)
			return error_set(err, ERR_INVALID,
					 "%s and %s are not a certificate and its key",
					 l->server->config.tls_cert, l->server->config.tls_key);
		return error_set(err, ERR_INTERNAL, "libmicrohttpd does not start");
	}
	info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = clients_init(&l->clients, l->server->loop, limit, REQUEST_TIME_S * INT64_C(1000000));
	if (r == 0)
		r = loop_timer_new(l->server->loop, on_timer, l, &l->timer);
	if (r == 0)
		r = loop_fd_add(l->server->loop, info->epoll_fd, EPOLLIN, on_epoll, l, &l->source);
	return r < 0 ? error_errno(err, r, "HTTP listener") : 0;
}

static int start(struct http_server *s, struct error *err)
{
	const struct embedded own = embedded_openapi_rules();
	const char *given = s->config.document;
	int fd;
	int r;

	r = document_load(given ? given : own.data, given ? strlen(given) : own.len, &s->document,
			  err);
	if (r == 0 && !given)
		r = document_bind(s->document, builtin_handlers, builtin_handlers_n, err);
	if (r == 0)
		r = document_bind(s->document, s->config.handlers, s->config.n_handlers, err);
	if (r == 0 && !s->config.partial)
		r = document_check_bound(s->document, err);
	if (r < 0)
		return r;
	s->web_fd = s->config.web_root
			    ? open(s->config.web_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			    : -1;
	r = session_tickets_new(&s->tickets);
	if (r == 0)
		r = previews_new(&s->previews);
	if (r < 0)
		return error_errno(err, r, "HTTP server");
	fd = listen_inherited(s->config.socket_path, err);
	if (fd == 0) {
		fd = listen_unix(s->config.socket_path, err);
		s->bound = fd >= 0;
	}
	if (fd < 0)
		return fd;
	r = listener_start(&s->unix_listener, fd, err);
	if (r < 0 || !s->config.tcp_host)
		return r;
	r = tls_read(s, err);
	if (r < 0)
		return r;
	fd = listen_tcp(s->config.tcp_host, s->config.tcp_port, s->tls_key != NULL, &s->port, err);
	r = fd < 0 ? fd : listener_start(&s->tcp_listener, fd, err);
	s->tls = s->tls_key != NULL;
	forget_key(s);
	return r;
}

int http_server_new(struct loop *loop, const struct http_config *config,
		    struct http_server **ret_server, struct error *err)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_errno(err, -ENOMEM, "HTTP server");
	s->loop = loop;
	s->config = *config;
	s->web_fd = -1;
	s->unix_listener.server = s;
	s->tcp_listener.server = s;
	s->tcp_listener.tcp = true;
	r = start(s, err);
	if (r < 0) {
		http_server_free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

/* libmicrohttpd must not be stopped with sleeping connections. */
static void listener_stop(struct listener *l)
{
	if (l->daemon) {
		loop_fd_remove(l->source);
		l->pumping = true;
		MHD_stop_daemon(l->daemon);
	}
	loop_timer_free(l->timer);
	clients_done(&l->clients);
}

/* Who still waits for a reply. What was kept under its Idempotency-Key stays, to go on with later.
 */
static bool end_waiting(struct http_request *req)
{
	struct error err = ERROR_INIT;
	loop_fn *gone = req->gone;

	if (!req->dispatched || !req->suspended || req->response || req->queued || req->upload)
		return false;
	req->gone = NULL;
	req->replay = NULL;
	if (gone)
		gone(req->gone_data);
	req->close_after = true;
	(void)error_set(&err, ERR_UNAVAILABLE, "the server ends before there is a reply");
	http_reply_error(req, &err, NULL);
	return true;
}

/* Streams say their last frame, whoever waits is told, and all have a moment to read it. */
static void end_streams(struct http_server *s)
{
	enum { ROUNDS = 10, ROUND_US = 10000 };
	bool any = false;

	for (struct http_request *req = s->requests; req; req = req->next) {
		if (req->tunnel)
			any |= tunnel_ending(req->tunnel);
		else if (req->stream)
			any |= stream_ending(req->stream);
		else
			any |= end_waiting(req);
	}
	for (int i = 0; any && i < ROUNDS; i++) {
		any = false;
		if (s->unix_listener.daemon)
			pump(&s->unix_listener);
		if (s->tcp_listener.daemon)
			pump(&s->tcp_listener);
		for (struct http_request *req = s->requests; req; req = req->next)
			any |= req->stream || req->tunnel || req->queued;
		if (any)
			(void)usleep(ROUND_US);
	}
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	end_streams(s);
	for (struct http_request *req = s->requests; req; req = req->next)
		request_abort(req);
	listener_stop(&s->unix_listener);
	listener_stop(&s->tcp_listener);
	if (s->bound)
		(void)unlink(s->config.socket_path);
	forget_key(s);
	replays_forget(s);
	requests_done(s);
	params_forget(s);
	session_tickets_free(s->tickets);
	previews_free(s->previews);
	close_keep_errno(s->web_fd);
	document_free(s->document);
	free(s);
}

const struct http_counts *http_server_counts(const struct http_server *s)
{
	return &s->counts;
}

bool http_server_held(const struct http_server *s)
{
	return !s->bound;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}
