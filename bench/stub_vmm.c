/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU without a guest: says yes to everything on its monitor, and to everything that is asked of
 * its agent. What is left of a verb is the server's own work.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/link/handshake.h"
#include "lib/link/session.h"

enum { QMP_FD = 3, LINK_FD = 5, LINE_MAX_BYTES = 64 * 1024 };

struct monitor {
	int fd;
	struct loop_fd *source;
	size_t len;
	char line[LINE_MAX_BYTES];
};

struct link {
	int fd;
	struct loop_fd *source;
	struct link_session *session;
	struct link_scan scan;
};

static struct loop *loop;
static bool stands; /* the guest that there is not */

/* --- monitor --- */

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		(void)fprintf(stderr, "stub: %s\n", strerrordesc_np(errno));
}

static void obey(const struct monitor *m, const char *line, size_t len)
{
	struct error err;
	json_auto_t *command = json_parse(line, len, &err);
	const char *name = json_string_value(json_object_get(command, "execute"));
	json_int_t id = json_integer_value(json_object_get(command, "id"));
	char status[48] = "";
	char reply[128];

	if (name && streq(name, "quit"))
		exit(0); /* one thread. NOLINT(concurrency-mt-unsafe) */
	if (name && (streq(name, "stop") || streq(name, "cont")))
		stands = streq(name, "stop");
	if (name && streq(name, "query-status"))
		(void)snprintf(status, sizeof(status), "\"status\": \"%s\"",
			       stands ? "paused" : "running");
	(void)snprintf(reply, sizeof(reply), "{\"return\": {%s}, \"id\": %lld}\n", status,
		       (long long)id);
	say(m->fd, reply);
}

static void monitor_free(struct monitor *m)
{
	loop_fd_remove(m->source);
	close_keep_errno(m->fd);
	free(m);
}

static void on_monitor(void *data, uint32_t events)
{
	struct monitor *m = data;
	ssize_t n = read(m->fd, m->line + m->len, sizeof(m->line) - m->len);
	const char *end;

	(void)events;
	if (n <= 0) {
		monitor_free(m);
		return;
	}
	m->len += (size_t)n;
	while ((end = memchr(m->line, '\n', m->len)) != NULL) {
		size_t used = (size_t)(end + 1 - m->line);

		obey(m, m->line, used - 1);
		memmove(m->line, m->line + used, m->len - used);
		m->len -= used;
	}
}

static void on_monitor_client(void *data, uint32_t events)
{
	struct monitor *m = calloc(1, sizeof(*m));

	(void)data;
	(void)events;
	if (!m)
		return;
	m->fd = accept4(QMP_FD, NULL, NULL, SOCK_CLOEXEC);
	if (m->fd < 0 || loop_fd_add(loop, m->fd, EPOLLIN, on_monitor, m, &m->source) < 0) {
		close_keep_errno(m->fd);
		free(m);
		return;
	}
	say(m->fd, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n");
}

/* --- agent --- */

static void on_closed(void *data, const char *why)
{
	(void)data;
	(void)why;
}

static void on_request(void *data, struct link_stream *stream)
{
	static const struct link_stream_ops ops = { .closed = on_closed };

	(void)data;
	link_stream_set_ops(stream, &ops, NULL);
	if (link_stream_reply(stream, 200, NULL, 0, true) == 0) {
		(void)link_stream_write(stream, "{}", 2);
		link_stream_finish(stream);
	}
}

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	struct link *link = data;

	(void)rest;
	(void)len;
	link_session_free(link->session, why);
	close_keep_errno(link->fd);
	free(link);
}

static void begin_session(struct link *link, const char *nonce)
{
	static const struct link_session_ops ops = { .request = on_request, .ended = on_ended };
	char line[512];
	int n = snprintf(line, sizeof(line),
			 "\n" LINK_HELLO_OK "%s {\"agent_version\": \"stub\", \"boot_id\": "
			 "\"00000000-0000-4000-8000-%012d\", \"boot_us\": 1, \"degraded\": false, "
			 "\"problem\": \"\"}\n",
			 nonce, (int)getpid());

	loop_fd_remove(TAKE_PTR(link->source));
	if (link_session_new(loop, link->fd, LINK_AGENT, line, (size_t)n, &ops, link,
			     &link->session) < 0)
		abort();
}

static void on_handshake(void *data, uint32_t events)
{
	struct link *link = data;
	uint8_t bytes[4096];
	ssize_t n = recv(link->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)events;
	if (n <= 0) {
		loop_fd_remove(link->source);
		close_keep_errno(link->fd);
		free(link);
		return;
	}
	for (size_t at = 0; at < (size_t)n;) {
		const char *line = NULL;
		const char *nonce;

		at += link_scan_feed(&link->scan, bytes + at, (size_t)n - at, &line);
		nonce = line ? link_hello_nonce(line) : NULL;
		if (nonce) {
			begin_session(link, nonce);
			return;
		}
	}
}

static void on_link_client(void *data, uint32_t events)
{
	struct link *link = calloc(1, sizeof(*link));

	(void)data;
	(void)events;
	if (!link)
		return;
	link_scan_init(&link->scan);
	link->fd = accept4(LINK_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (link->fd < 0 ||
	    loop_fd_add(loop, link->fd, EPOLLIN, on_handshake, link, &link->source) < 0) {
		close_keep_errno(link->fd);
		free(link);
	}
}

int main(int argc, char **argv)
{
	struct loop_fd *sources[2];

	if (argc > 1 && streq(argv[1], "--version")) {
		(void)puts("QEMU emulator version 7.2.0 (a stub)");
		return 0;
	}
	if (argc > 2 && streq(argv[1], "-machine") && streq(argv[2], "help")) {
		(void)puts("Supported machines are:\nmicrovm  a stub");
		return 0;
	}
	if (loop_new(&loop) < 0 ||
	    loop_fd_add(loop, QMP_FD, EPOLLIN, on_monitor_client, NULL, &sources[0]) < 0 ||
	    loop_fd_add(loop, LINK_FD, EPOLLIN, on_link_client, NULL, &sources[1]) < 0)
		return 1;
	return loop_run(loop) < 0;
}
