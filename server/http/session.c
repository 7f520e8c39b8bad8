/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "server/http/secret.h"

enum {
	TICKETS_MAX = 256,
	TICKET_BYTES = 24,
	LOGIN_LIFE_S = 300,
	STREAM_LIFE_S = 60,
	SESSION_LIFE_S = 12 * 3600,
	SESSION_MAX = 256,
	TICKET_PATH_MAX = 1024,
};

/* For the one path, or for a login where there is none. */
struct ticket {
	char text[2 * TICKET_BYTES + 1]; /* "" while unused */
	enum http_scope scope;
	char principal[PRINCIPAL_MAX];
	char *path;
	int64_t ends_us;
};

struct session_tickets {
	struct ticket slots[TICKETS_MAX];
};

int session_tickets_new(struct session_tickets **ret_tickets)
{
	struct session_tickets *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret_tickets = t;
	return 0;
}

void session_tickets_free(struct session_tickets *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TICKETS_MAX; i++)
		free(t->slots[i].path);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

/* The one that would end first gives way. */
static struct ticket *ticket_new(struct session_tickets *t, const struct http_request *req,
				 int life_s)
{
	struct ticket *slot = &t->slots[0];

	for (size_t i = 1; i < TICKETS_MAX; i++)
		if (t->slots[i].ends_us < slot->ends_us)
			slot = &t->slots[i];
	free(slot->path);
	slot->path = NULL;
	secret_make(slot->text, TICKET_BYTES);
	slot->scope = req->scope;
	(void)snprintf(slot->principal, sizeof(slot->principal), "%s", req->principal);
	slot->ends_us = clock_mono_us() + life_s * INT64_C(1000000);
	return slot;
}

/*
 * Scope of the ticket, which is void from now on; HTTP_SCOPE_NONE if there is none such. `path`
 * NULL is a login. A ticket that is shown at the wrong place is void as well.
 */
static enum http_scope ticket_use(struct session_tickets *t, const char *text, const char *path,
				  char *principal, size_t size)
{
	enum http_scope scope = HTTP_SCOPE_NONE;

	if (strlen(text) != 2 * TICKET_BYTES)
		return HTTP_SCOPE_NONE;
	for (size_t i = 0; i < TICKETS_MAX; i++) {
		struct ticket *slot = &t->slots[i];
		bool right;

		if (!slot->text[0] || !secret_same(slot->text, text, 2 * TICKET_BYTES))
			continue;
		right = path && slot->path ? streq(path, slot->path) : path == slot->path;
		if (right && slot->ends_us > clock_mono_us()) {
			scope = slot->scope;
			(void)snprintf(principal, size, "%s", slot->principal);
		}
		free(slot->path);
		*slot = (struct ticket){ 0 };
	}
	return scope;
}

enum http_scope session_use_ticket(struct http_request *req, const char *text)
{
	return ticket_use(req->server->tickets, text, req->uri.path, req->principal,
			  sizeof(req->principal));
}

/* Cookies know no ports: the name has ours, so that two servers on one host do not take turns. */
static void cookie_name(const struct http_request *req, char *buf, size_t size)
{
	(void)snprintf(buf, size, "banger_session_%u", req->server->port);
}

const char *session_cookie(const struct http_request *req, char *buf, size_t size)
{
	const char *p = http_header(req, "Cookie");
	char name[40];
	size_t name_len;

	cookie_name(req, name, sizeof(name));
	name_len = strlen(name);
	while (p && *p) {
		size_t len;

		p += strspn(p, "; \t");
		len = strcspn(p, ";");
		if (len > name_len + 1 && len - name_len - 1 < size && p[name_len] == '=' &&
		    strncmp(p, name, name_len) == 0) {
			memcpy(buf, p + name_len + 1, len - name_len - 1);
			buf[len - name_len - 1] = '\0';
			return buf;
		}
		p += len;
	}
	return NULL;
}

static void set_cookie(struct http_request *req, const char *value, int life_s)
{
	char name[40];
	char cookie[SESSION_MAX + 160];

	cookie_name(req, name, sizeof(name));
	(void)snprintf(cookie, sizeof(cookie),
		       "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s", name, value,
		       life_s, req->server->tls ? "; Secure" : "");
	http_reply_header(req, "Set-Cookie", cookie);
}

/* --- handlers --- */

static void refuse(struct http_request *req, enum error_code code, const char *why)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, code, "%s", why);
	http_reply_error(req, &err, NULL);
}

void login_create(struct http_request *req, void *context)
{
	struct http_server *s = req->server;
	const struct ticket *ticket;
	char url[200];
	char when[32];

	(void)context;
	if (!s->port || !s->config.issue_session) {
		refuse(req, ERR_UNAVAILABLE, "the server does not listen on TCP");
		return;
	}
	ticket = ticket_new(s->tickets, req, LOGIN_LIFE_S);
	(void)snprintf(url, sizeof(url), "%s://%s:%u/login?ticket=%s", s->tls ? "https" : "http",
		       s->config.tcp_host, s->port, ticket->text);
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_json(req, 201,
			json_pack("{s:s, s:s}", "url", url, "expires",
				  clock_format_ms(clock_wall_ms() + LOGIN_LIFE_S * 1000, when)));
}

void login_use(struct http_request *req, void *context)
{
	struct http_server *s = req->server;
	char session[SESSION_MAX];
	char principal[PRINCIPAL_MAX];
	enum http_scope scope = ticket_use(s->tickets, http_query(req, "ticket"), NULL, principal,
					   sizeof(principal));
	struct error err = ERROR_INIT;

	(void)context;
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_header(req, "Referrer-Policy", "no-referrer");
	if (scope == HTTP_SCOPE_NONE || !s->config.issue_session) {
		refuse(req, ERR_UNAUTHENTICATED,
		       "the login link has been used or is too old; make a new one with banger "
		       "open");
		return;
	}
	if (s->config.issue_session(s->config.context, scope, SESSION_LIFE_S, session,
				    sizeof(session), &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	set_cookie(req, session, SESSION_LIFE_S);
	explicit_bzero(session, sizeof(session));
	http_reply_header(req, "Location", "/");
	http_reply_empty(req, 303);
}

/* Something that a ticket for this path opens. */
static bool takes_tickets(const struct http_server *s, const char *path)
{
	struct error ignored;
	struct route_match m;
	struct uri uri;
	bool takes = false;

	if (uri_parse(path, &uri, &ignored) < 0)
		return false;
	if (route_find(s->document, &uri, &m) == 0) {
		takes = m.methods[METHOD_GET] && m.methods[METHOD_GET]->takes_ticket;
		free(m.rest);
	}
	uri_done(&uri);
	return takes;
}

/* What can't set headers, as a browser's WebSocket and EventSource, shows this in the address:
 * worth nothing when it has been used, and in no log of ours. */
void ticket_create(struct http_request *req, void *context)
{
	const char *path = json_string_value(json_object_get(req->json, "path"));
	struct ticket *ticket;
	char when[32];

	(void)context;
	if (!takes_tickets(req->server, path)) {
		refuse(req, ERR_INVALID,
		       "/path: nothing opens there with a ticket; /openapi.json has the operations "
		       "with the parameter ticket");
		return;
	}
	ticket = ticket_new(req->server->tickets, req, STREAM_LIFE_S);
	ticket->path = strndup(path, TICKET_PATH_MAX);
	if (!ticket->path) {
		*ticket = (struct ticket){ 0 };
		refuse(req, ERR_NO_ROOM, "no memory for a ticket");
		return;
	}
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_json(req, 201,
			json_pack("{s:s, s:s, s:s}", "ticket", ticket->text, "path", path,
				  "expires",
				  clock_format_ms(clock_wall_ms() + STREAM_LIFE_S * 1000, when)));
}

void session_get(struct http_request *req, void *context)
{
	(void)context;
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_json(req, 200,
			json_pack("{s:s, s:s, s:b}", "principal", req->principal, "scope",
				  http_scope_name(req->scope), "cookie", req->by_cookie));
}

void session_delete(struct http_request *req, void *context)
{
	struct http_server *s = req->server;
	char session[SESSION_MAX];

	(void)context;
	if (req->by_cookie && session_cookie(req, session, sizeof(session)) &&
	    s->config.revoke_session)
		s->config.revoke_session(s->config.context, session);
	set_cookie(req, "", 0);
	http_reply_empty(req, 204);
}
