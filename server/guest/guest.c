/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link's life: closed -> handshake -> up, and back to closed whenever it breaks. One timer
 * serves the time limit of the handshake and the pause before the next try. While nothing happens
 * nothing runs: a VM that boots finds our hello waiting in its port.
 */
#include "server/guest/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "lib/link/handshake.h"
#include "server/guest/internal.h"

enum {
	RETRY_MIN_US = 5 * 1000,
	RETRY_MAX_US = 250 * 1000,
	HANDSHAKE_US = 15 * 1000 * 1000,
	STEADY_US = 2 * 1000 * 1000, /* a link that lived so long was a good one */
	DROP_MAX = 64 * 1024 * 1024, /* bytes before the agent's answer */
	READ_SIZE = 16 * 1024,
};

enum state { CLOSED, HANDSHAKE, UP };

struct guest {
	struct loop *loop;
	struct guest_callbacks callbacks;
	void *data;
	enum state state;
	int fd;
	struct loop_fd *source; /* during the handshake */
	struct loop_timer *timer;
	int64_t retry_us;
	int64_t up_since_us;
	struct link_scan scan;
	char nonce[LINK_NONCE_LEN + 1];
	struct buf hello; /* still to be sent */
	size_t dropped;
	struct link_session *session;
	struct guest_lists lists;
	unsigned int depth; /* calls under way that use the object afterwards */
	bool dead;
};

static void enter(struct guest *g)
{
	g->depth++;
}

/* Returns false when the guest is gone. */
static bool leave(struct guest *g)
{
	if (--g->depth > 0 || !g->dead)
		return !g->dead;
	free(g);
	return false;
}

static void disconnect(struct guest *g)
{
	struct link_session *session = TAKE_PTR(g->session);

	loop_fd_remove(TAKE_PTR(g->source));
	loop_timer_clear(g->timer);
	g->state = CLOSED;
	link_session_free(session, "the link to the guest broke");
	close_keep_errno(take_fd(&g->fd));
	buf_done(&g->hello);
}

/* The connection is of no use any more: another one, after a pause. */
static void link_broke(struct guest *g, const char *why)
{
	bool was_up = g->state == UP;
	struct error err = ERROR_INIT;

	enter(g);
	disconnect(g);
	if (!g->dead) {
		if (was_up && clock_mono_us() - g->up_since_us > STEADY_US)
			g->retry_us = RETRY_MIN_US;
		loop_timer_set(g->timer, g->retry_us);
		g->retry_us = 2 * g->retry_us < RETRY_MAX_US ? 2 * g->retry_us : RETRY_MAX_US;
	}
	if (!g->dead && was_up && g->callbacks.down) {
		(void)error_set(&err, ERR_GUEST, "the link to the guest broke: %s", why);
		g->callbacks.down(g->data, &err);
	}
	(void)leave(g);
}

/* --- up --- */

static void on_request(void *data, struct link_stream *stream)
{
	(void)data;
	link_stream_reset(stream); /* guests ask nothing of us */
}

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	(void)rest;
	(void)len;
	link_broke(data, why);
}

static const struct link_session_ops session_ops = { .request = on_request, .ended = on_ended };

struct hello {
	const char *agent_version;
	const char *boot_id;
	int64_t boot_us;
	bool degraded;
	const char *problem;
};

static const struct json_field hello_fields[] = {
	{ "agent_version", JSON_FIELD_STRING, offsetof(struct hello, agent_version), true },
	{ "boot_id", JSON_FIELD_STRING, offsetof(struct hello, boot_id), true },
	{ "boot_us", JSON_FIELD_I64, offsetof(struct hello, boot_us), true },
	{ "degraded", JSON_FIELD_BOOL, offsetof(struct hello, degraded), true },
	{ "problem", JSON_FIELD_STRING, offsetof(struct hello, problem), false },
};

/* Printable characters only: it ends up in logs and on terminals. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 1 < size; from++)
		to[n++] = *from >= ' ' && *from <= '~' ? *from : '?';
	to[n] = '\0';
}

static int parse_hello(const char *text, struct guest_info *ret_info)
{
	struct error err = ERROR_INIT;
	json_auto_t *document = json_parse(text, strlen(text), &err);
	struct hello hello = { .problem = "" };

	if (!document ||
	    json_decode(document, hello_fields, ARRAY_SIZE(hello_fields), &hello, &err) < 0)
		return -EPROTO;
	*ret_info = (struct guest_info){
		.boot_us = hello.boot_us > 0 ? (uint64_t)hello.boot_us : 0,
		.degraded = hello.degraded,
	};
	copy_text(ret_info->agent_version, sizeof(ret_info->agent_version), hello.agent_version);
	copy_text(ret_info->boot_id, sizeof(ret_info->boot_id), hello.boot_id);
	copy_text(ret_info->problem, sizeof(ret_info->problem), hello.problem);
	return 0;
}

/* The answer has come; `rest` are bytes of the session behind it. */
static void link_up(struct guest *g, const char *text, const uint8_t *rest, size_t len)
{
	struct guest_info info;

	if (parse_hello(text, &info) < 0) {
		link_broke(g, "the agent's answer can't be understood");
		return;
	}
	loop_fd_remove(TAKE_PTR(g->source));
	loop_timer_clear(g->timer);
	enter(g);
	if (link_session_new(g->loop, g->fd, LINK_HOST, NULL, 0, &session_ops, g, &g->session) <
	    0) {
		link_broke(g, "no memory for a session");
		(void)leave(g);
		return;
	}
	if (g->session && !g->dead)
		link_session_feed(g->session, rest, len);
	if (g->session && !g->dead) {
		g->state = UP;
		g->up_since_us = clock_mono_us();
		if (g->callbacks.up)
			g->callbacks.up(g->data, &info);
	}
	if (g->session && !g->dead)
		execs_link_up(g);
	if (g->session && !g->dead)
		calls_link_up(g);
	(void)leave(g);
}

/* --- handshake --- */

/* Returns true when the link has left the handshake. */
static bool take_bytes(struct guest *g, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		const char *line;
		const char *text;
		size_t n = link_scan_feed(&g->scan, bytes, len, &line);

		bytes += n;
		len -= n;
		g->dropped += n;
		text = line ? link_hello_answer(line, g->nonce) : NULL;
		if (text) {
			link_up(g, text, bytes, len);
			return true;
		}
	}
	if (g->dropped > DROP_MAX) {
		link_broke(g, "the guest sends, but does not answer");
		return true;
	}
	return false;
}

static bool send_hello(struct guest *g)
{
	while (buf_len(&g->hello) > 0) {
		ssize_t n = write(g->fd, buf_bytes(&g->hello), buf_len(&g->hello));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		buf_consume(&g->hello, (size_t)n);
	}
	loop_fd_set_events(g->source, EPOLLIN);
	return true;
}

static void on_handshake(void *data, uint32_t events)
{
	struct guest *g = data;
	uint8_t bytes[READ_SIZE];
	ssize_t n;

	if ((events & EPOLLOUT) && !send_hello(g)) {
		link_broke(g, "the other side closed it");
		return;
	}
	n = read(g->fd, bytes, sizeof(bytes));
	if (n > 0)
		(void)take_bytes(g, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		link_broke(g, "the other side closed it");
}

static int make_hello(struct guest *g)
{
	uint8_t *padding;
	int r = link_nonce_new(g->nonce);

	buf_init(&g->hello, LINK_PADDING + LINK_LINE_MAX);
	if (r < 0)
		return r;
	padding = buf_reserve(&g->hello, LINK_PADDING);
	if (!padding)
		return -ENOMEM;
	memset(padding, '\n', LINK_PADDING);
	buf_commit(&g->hello, LINK_PADDING);
	return buf_printf(&g->hello, LINK_HELLO "%s\n", g->nonce);
}

static void connect_now(struct guest *g)
{
	int r;

	enter(g);
	r = g->callbacks.open(g->data);
	if (!leave(g)) {
		close_keep_errno(r);
		return;
	}
	if (r < 0) {
		link_broke(g, "not there");
		return;
	}
	g->fd = r;
	g->state = HANDSHAKE;
	g->dropped = 0;
	link_scan_init(&g->scan);
	r = make_hello(g);
	if (r == 0)
		r = loop_fd_add(g->loop, g->fd, EPOLLIN | EPOLLOUT, on_handshake, g, &g->source);
	if (r < 0) {
		link_broke(g, strerrordesc_np(-r));
		return;
	}
	loop_timer_set(g->timer, HANDSHAKE_US);
}

static void on_timer(void *data)
{
	struct guest *g = data;

	if (g->state == HANDSHAKE)
		link_broke(g, "no answer in time");
	else if (g->state == CLOSED)
		connect_now(g);
}

/* --- for the other files --- */

struct loop *guest_loop(struct guest *g)
{
	return g->loop;
}

struct link_session *guest_session(struct guest *g)
{
	return g->state == UP ? g->session : NULL;
}

struct guest_lists *guest_lists(struct guest *g)
{
	return &g->lists;
}

struct link_stream *guest_open_stream(struct guest *g, const char *method, const char *path,
				      bool body, const struct link_stream_ops *ops, void *data)
{
	const struct link_header headers[] = {
		{ ":method", method },
		{ ":scheme", "http" },
		{ ":authority", "guest" },
		{ ":path", path },
	};

	if (g->state != UP || !g->session)
		return NULL;
	return link_stream_open(g->session, headers, ARRAY_SIZE(headers), body, ops, data);
}

/* --- life --- */

int guest_new(struct loop *loop, const struct guest_callbacks *callbacks, void *data,
	      struct guest **ret_guest)
{
	struct guest *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	*g = (struct guest){ .loop = loop,
			     .callbacks = *callbacks,
			     .data = data,
			     .fd = -1,
			     .retry_us = RETRY_MIN_US };
	r = loop_timer_new(loop, on_timer, g, &g->timer);
	if (r == 0)
		r = loop_timer_new(loop, execs_release, g, &g->lists.release);
	if (r < 0) {
		loop_timer_free(g->timer);
		free(g);
		return r;
	}
	loop_timer_set(g->timer, 0);
	*ret_guest = g;
	return 0;
}

void guest_free(struct guest *g)
{
	struct error why = ERROR_INIT;

	if (!g || g->dead)
		return;
	(void)error_set(&why, ERR_GUEST, "the VM has ended");
	enter(g);
	g->dead = true;
	execs_end_all(g, &why);
	calls_end_all(g, &why);
	streams_end_all(g, &why);
	disconnect(g);
	loop_timer_free(TAKE_PTR(g->timer));
	loop_timer_free(TAKE_PTR(g->lists.release));
	(void)leave(g);
}

bool guest_is_up(const struct guest *g)
{
	return g->state == UP;
}
