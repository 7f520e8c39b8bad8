/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what. On the unix socket the peer's uid counts (checked when it connects). On TCP:
 *  - Host must be an address or name of this server, or a page whose name an attacker points at
 *    127.0.0.1 could talk to it (DNS rebinding);
 *  - Origin, where a browser sends one, must be this server (CSRF);
 *  - a bearer token, the dashboard's session cookie or a ticket for this one path says who it is.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "server/http/session.h"

enum { HOST_MAX = 255, TOKEN_MAX = 256 };

bool auth_peer_allowed(uid_t uid)
{
	return uid == 0 || uid == getuid();
}

/* Who asks by a browser page of our own: Origin is ours, or the browser says so itself. */
static bool from_own_page(const struct http_request *req)
{
	const char *site = http_header(req, "Sec-Fetch-Site");

	return http_header(req, "Origin") || (site && streq(site, "same-origin"));
}

bool host_port_valid(const char *rest)
{
	size_t digits = rest[0] == ':' ? strspn(rest + 1, "0123456789") : 0;

	return rest[0] == '\0' || (digits >= 1 && digits <= 5 && rest[1 + digits] == '\0' &&
				   strtoul(rest + 1, NULL, 10) <= UINT16_MAX);
}

/* The host without its port, brackets removed; false where it can't be one. */
static bool split_host(const char *host, char *name, size_t size)
{
	size_t len;

	if (host[0] == '[') {
		host++;
		len = strcspn(host, "]");
		if (host[len] != ']' || !host_port_valid(host + len + 1))
			return false;
	} else {
		len = strcspn(host, ":");
		if (!host_port_valid(host + len))
			return false;
	}
	if (len == 0 || len >= size)
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return true;
}

static bool is_loopback(const char *name)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, name, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return streq(name, "::1") || strcasecmp(name, "localhost") == 0;
}

static bool host_allowed(const struct http_request *req, const char *host)
{
	const char *own = req->server->config.tcp_host;
	char name[HOST_MAX + 1];

	if (!split_host(host, name, sizeof(name)))
		return false;
	/* With TLS a foreign name is stopped by the certificate, and the server may have many. */
	return req->server->tls || is_loopback(name) || (own && strcasecmp(name, own) == 0);
}

int auth_check_site(const struct http_request *req, struct error *err)
{
	const char *host = http_header(req, "Host");
	const char *origin = http_header(req, "Origin");
	const char *scheme = req->server->tls ? "https://" : "http://";

	if (!req->listener->tcp)
		return 0;
	if (!host || !host_allowed(req, host))
		return error_set(err, ERR_FORBIDDEN, "the Host header does not name this server");
	if (!origin)
		return 0;
	if (str_has_prefix(origin, scheme) && strcasecmp(origin + strlen(scheme), host) == 0)
		return 0;
	return error_set(err, ERR_FORBIDDEN, "the Origin header names another site");
}

/* A WebSocket begins as a GET, and what comes in by it is a shell or a tunnel. */
static bool only_reads(const struct http_request *req)
{
	return streq(req->method, "HEAD") ||
	       (streq(req->method, "GET") && !http_header(req, "Upgrade"));
}

/*
 * The dashboard's cookie comes with requests that a page may not have meant: what changes something
 * must show that it is from our own page (auth_check_site() has compared its Origin).
 */
static int check_cookie(struct http_request *req, struct error *err)
{
	const struct http_config *config = &req->server->config;
	char session[TOKEN_MAX];

	if (!session_cookie(req, session, sizeof(session)) || !config->check_token)
		return 0;
	if (!only_reads(req) && !from_own_page(req))
		return error_set(err, ERR_FORBIDDEN,
				 "a change by session cookie needs the Origin header");
	req->scope = config->check_token(config->context, session, req->principal,
					 sizeof(req->principal));
	if (req->scope == HTTP_SCOPE_NONE)
		return error_set(err, ERR_UNAUTHENTICATED, "the session has ended");
	req->by_cookie = true;
	return 0;
}

static int check_bearer(struct http_request *req, struct error *err)
{
	const struct http_config *config = &req->server->config;
	const char *header = http_header(req, "Authorization");
	const char *token = header;

	if (strncasecmp(header, "Bearer ", 7) != 0)
		return error_set(err, ERR_UNAUTHENTICATED, "only bearer tokens are understood");
	token += 7 + strspn(header + 7, " ");
	if (!*token || strlen(token) > TOKEN_MAX || !config->check_token)
		return error_set(err, ERR_UNAUTHENTICATED, "the token is not known");
	req->scope =
		config->check_token(config->context, token, req->principal, sizeof(req->principal));
	if (req->scope == HTTP_SCOPE_NONE)
		return error_set(err, ERR_UNAUTHENTICATED,
				 "the token is not known, has expired or was revoked");
	return 0;
}

static int check_ticket(struct http_request *req, const char *ticket, struct error *err)
{
	req->scope = session_use_ticket(req, ticket);
	if (req->scope == HTTP_SCOPE_NONE)
		return error_set(err, ERR_UNAUTHENTICATED,
				 "the ticket has been used, is too old or is for another path");
	return 0;
}

static int identify(struct http_request *req, struct error *err)
{
	const char *ticket = req->op->takes_ticket ? http_query(req, "ticket") : NULL;

	if (http_header(req, "Authorization"))
		return check_bearer(req, err);
	return ticket ? check_ticket(req, ticket, err) : check_cookie(req, err);
}

const char *http_scope_name(enum http_scope scope)
{
	static const char *const names[] = { "none", "read", "run", "admin" };

	return names[scope];
}

int auth_check(struct http_request *req, enum http_scope want, struct error *err)
{
	int r;

	if (!req->listener->tcp) {
		req->scope = HTTP_SCOPE_ADMIN;
		(void)snprintf(req->principal, sizeof(req->principal), "uid:%u", req->client->uid);
		return 0;
	}
	if (want == HTTP_SCOPE_NONE)
		return 0;
	r = req->by_preview ? 0 : identify(req, err);
	if (r < 0)
		return r;
	if (req->scope == HTTP_SCOPE_NONE)
		return error_set(err, ERR_UNAUTHENTICATED, "this needs a token");
	if (req->scope < want)
		return error_set(err, ERR_FORBIDDEN, "this needs scope %s, the token has %s",
				 http_scope_name(want), http_scope_name(req->scope));
	return 0;
}
