/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream to the host: scanned for a handshake, then an HTTP/2 session, then scanned again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/service/service.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "lib/link/handshake.h"

#ifndef BANGER_VERSION
#define BANGER_VERSION "0"
#endif

enum { SCAN_READ = 16 * 1024, BOOT_ID_MAX = 64 };

struct agent_link {
	struct agent_link *next;
	struct agent *agent;
	int fd;
	bool port;
	bool busy;              /* a caller uses it afterwards … */
	bool dead;              /* … and has to free it */
	struct loop_fd *source; /* while scanning */
	struct link_session *session;
	struct link_scan scan;
	char waiting[LINK_NONCE_LEN + 1]; /* of a hello that came before its sender, or "" */
};

static void scan_bytes(struct agent_link *link, const uint8_t *bytes, size_t len);

static void link_free(struct agent_link *link)
{
	for (struct agent_link **p = &link->agent->links; *p; p = &(*p)->next) {
		if (*p == link) {
			*p = link->next;
			break;
		}
	}
	loop_fd_remove(TAKE_PTR(link->source));
	link_session_free(TAKE_PTR(link->session), "the agent ends");
	close_keep_errno(take_fd(&link->fd));
	link->dead = true;
	if (!link->busy)
		free(link);
}

/* The answer to a hello; the caller frees. */
static char *answer(const struct agent *agent, const char *nonce)
{
	autofree char *text = NULL;
	char problem[sizeof(agent->problem)];
	char *line = NULL;
	json_t *hello;

	(void)snprintf(problem, sizeof(problem), "%s", agent->problem);
	for (char *p = problem; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	hello = json_pack("{s:s, s:s, s:I, s:b, s:s}", "agent_version", BANGER_VERSION, "boot_id",
			  agent->boot_id, "boot_us", (json_int_t)agent->boot_us, "degraded",
			  agent->degraded, "problem", problem);
	text = hello ? json_text(hello) : NULL;
	json_decref(hello);
	if (!text || asprintf(&line, "\n" LINK_HELLO_OK "%s %s\n", nonce, text) < 0)
		return NULL;
	return line;
}

static void on_request(void *data, struct link_stream *stream)
{
	struct agent_link *link = data;

	agent_request(link->agent, stream);
}

static void on_scan(void *data, uint32_t events);

static void start_scan(struct agent_link *link)
{
	int r;

	if (link->source)
		return;
	/* EPOLLOUT tells of a host that has connected. */
	r = loop_fd_add(link->agent->loop, link->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			on_scan, link, &link->source);
	if (r < 0)
		log_error("watch the link: %s", strerrordesc_np(-r));
}

static void on_ended(void *data, const char *why, const uint8_t *rest, size_t len)
{
	struct agent_link *link = data;
	bool busy = link->busy;

	log_debug("link: %s", why);
	link_session_free(TAKE_PTR(link->session), why);
	if (!link->port && len == 0) {
		link_free(link);
		return;
	}
	link->busy = true;
	link_scan_init(&link->scan);
	scan_bytes(link, rest, len);
	link->busy = busy;
	if (link->dead && !busy)
		free(link);
}

static const struct link_session_ops session_ops = { .request = on_request, .ended = on_ended };

/* From here on the session reads. It may have ended again when this returns. */
static void start_session(struct agent_link *link, const char *nonce)
{
	autofree char *line = answer(link->agent, nonce);
	int r = line ? 0 : -ENOMEM;

	link->waiting[0] = '\0';
	loop_fd_remove(TAKE_PTR(link->source));
	if (r == 0)
		r = link_session_new(link->agent->loop, link->fd, LINK_AGENT, line, strlen(line),
				     &session_ops, link, &link->session);
	if (r < 0)
		log_error("start a session: %s", strerrordesc_np(-r));
}

/*
 * The data of a port and the news that its host side is open come in different queues, and the
 * kernel may show the data first. Until it has the news, a write is refused and a read finds the
 * end: a session would be over before its answer was sent.
 */
static bool host_is_there(const struct agent_link *link)
{
	struct pollfd p = { .fd = link->fd, .events = POLLOUT };

	return !link->port || poll(&p, 1, 0) < 0 || !(p.revents & POLLHUP);
}

/* Looks for hellos in bytes at hand; what follows one belongs to its session. */
static void scan_bytes(struct agent_link *link, const uint8_t *bytes, size_t len)
{
	while (len > 0 && !link->session && !link->dead) {
		const char *line = NULL;
		size_t n = link_scan_feed(&link->scan, bytes, len, &line);
		const char *nonce = line ? link_hello_nonce(line) : NULL;

		bytes += n;
		len -= n;
		if (nonce && host_is_there(link))
			start_session(link, nonce);
		else if (nonce)
			(void)snprintf(link->waiting, sizeof(link->waiting), "%s", nonce);
	}
	if (link->session)
		link_session_feed(link->session, bytes, len);
	else if (!link->dead)
		start_scan(link);
}

/* Returns false when there is no more to read, or somebody else reads now. */
static bool scan_once(struct agent_link *link)
{
	uint8_t bytes[SCAN_READ];
	ssize_t n = read(link->fd, bytes, sizeof(bytes));

	if (n > 0) {
		scan_bytes(link, bytes, (size_t)n);
		return !link->dead && !link->session;
	}
	if (n < 0 && errno == EINTR)
		return true;
	if (!link->port && (n == 0 || errno != EAGAIN))
		link_free(link);
	return false;
}

static void on_scan(void *data, uint32_t events)
{
	struct agent_link *link = data;

	(void)events;
	link->busy = true;
	while (scan_once(link))
		;
	if (!link->dead && !link->session && link->waiting[0] && host_is_there(link)) {
		char nonce[sizeof(link->waiting)];

		memcpy(nonce, link->waiting, sizeof(nonce));
		start_session(link, nonce);
	}
	link->busy = false;
	if (link->dead)
		free(link);
}

int agent_link_add(struct agent *agent, int fd, bool port)
{
	struct agent_link *link = calloc(1, sizeof(*link));

	if (!link) {
		close_keep_errno(fd);
		return -ENOMEM;
	}
	*link = (struct agent_link){ .agent = agent, .fd = fd, .port = port };
	link_scan_init(&link->scan);
	link->next = agent->links;
	agent->links = link;
	start_scan(link);
	return 0;
}

int agent_init(struct agent *agent, struct loop *loop)
{
	autofree char *boot_id = NULL;
	size_t len;

	agent->loop = loop;
	if (read_file("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &boot_id, &len) == 0)
		(void)snprintf(agent->boot_id, sizeof(agent->boot_id), "%.*s",
			       (int)strcspn(boot_id, "\n"), boot_id);
	return 0;
}

void agent_link_drop(struct agent *agent)
{
	if (agent->links)
		link_free(agent->links);
}

void agent_done(struct agent *agent)
{
	while (agent->links)
		link_free(agent->links);
	execs_done(agent);
	power_done(agent);
	while (agent->children)
		agent_child_forget(agent, agent->children->pid);
}
