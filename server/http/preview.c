/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/preview.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/http/secret.h"
#include "server/http/session.h"

enum { PREVIEWS_MAX = 256, SECRET_BYTES = 20, SESSION_MAX = 256 };

#define SUFFIX ".localhost"

enum { LABEL_LEN = 1 + 2 * SECRET_BYTES };

struct preview {
	char label[LABEL_LEN + 1]; /* "" while unused */
	char session[SESSION_MAX + 1];
	char vm[ID_LEN + 1];
	uint16_t port;
	int64_t used_us;
};

struct previews {
	struct preview slots[PREVIEWS_MAX];
};

int previews_new(struct previews **ret_previews)
{
	struct previews *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*ret_previews = p;
	return 0;
}

void previews_free(struct previews *p)
{
	if (!p)
		return;
	explicit_bzero(p, sizeof(*p));
	free(p);
}

static bool is_label(const char *host)
{
	return host[0] == 'p' && strspn(host + 1, "0123456789abcdef") == LABEL_LEN - 1;
}

bool preview_named(const struct http_request *req)
{
	const char *host = http_header(req, "Host");
	const char *rest;

	if (!req->listener->tcp || !host || !is_label(host))
		return false;
	rest = host + LABEL_LEN;
	if (!str_has_prefix(rest, SUFFIX))
		return false;
	return host_port_valid(rest + strlen(SUFFIX));
}

/* A page of some other site can't know the name; should it, its Origin tells. */
static int check_origin(const struct http_request *req, struct error *err)
{
	const char *origin = http_header(req, "Origin");
	const char *host = http_header(req, "Host");

	if (!origin || (str_has_prefix(origin, "http://") && streq(origin + 7, host)))
		return 0;
	return error_set(err, ERR_FORBIDDEN, "the Origin header names another site");
}

int preview_enter(struct http_request *req, struct error *err)
{
	const struct http_config *config = &req->server->config;
	const char *host = http_header(req, "Host");
	struct preview *p = NULL;
	autofree char *target = NULL;

	for (size_t i = 0; i < PREVIEWS_MAX && !p; i++) {
		struct preview *slot = &req->server->previews->slots[i];

		if (slot->label[0] && secret_same(slot->label, host, LABEL_LEN))
			p = slot;
	}
	if (p && config->check_token)
		req->scope = config->check_token(config->context, p->session, req->principal,
						 sizeof(req->principal));
	if (p && req->scope == HTTP_SCOPE_NONE)
		explicit_bzero(p, sizeof(*p));
	if (!p || req->scope == HTTP_SCOPE_NONE)
		return error_set(err, ERR_NOT_FOUND,
				 "this preview has ended: open it again from the dashboard");
	if (check_origin(req, err) < 0)
		return error_to_errno(err);
	if (req->uri_bad) {
		*err = req->uri_error;
		return error_to_errno(err);
	}
	p->used_us = clock_mono_us();
	if (asprintf(&target, "/vms/%s/proxy/%u%s", p->vm, p->port, req->uri.target) < 0)
		return error_errno(err, -ENOMEM, "preview");
	uri_done(&req->uri);
	req->uri_bad = uri_parse(target, &req->uri, err) < 0;
	req->by_preview = true;
	return req->uri_bad ? error_to_errno(err) : 0;
}

/* The one that there is for the same session, VM and port, else the one used longest ago. */
static struct preview *slot_for(struct previews *all, const char *session, const char *vm,
				uint16_t port)
{
	struct preview *oldest = &all->slots[0];

	for (size_t i = 0; i < PREVIEWS_MAX; i++) {
		struct preview *p = &all->slots[i];

		if (p->label[0] && p->port == port && streq(p->vm, vm) &&
		    streq(p->session, session))
			return p;
		if (p->used_us < oldest->used_us)
			oldest = p;
	}
	explicit_bzero(oldest, sizeof(*oldest));
	return oldest;
}

/* Its name is below localhost: of no use to a browser that reached the server by another one. */
static bool by_loopback(const char *host)
{
	return str_has_prefix(host, "127.") || str_has_prefix(host, "[::1]") ||
	       strncasecmp(host, "localhost", 9) == 0;
}

bool http_by_preview(const struct http_request *req)
{
	return req->by_preview;
}

bool http_by_cookie(const struct http_request *req)
{
	return req->by_cookie;
}

void http_preview_redirect(struct http_request *req, const char *vm, uint16_t port,
			   const char *rest)
{
	const char *host = http_header(req, "Host");
	const char *colon = strrchr(host, ':');
	char session[SESSION_MAX];
	autofree char *location = NULL;
	struct error err = ERROR_INIT;
	struct preview *p;

	if (req->server->tls || !by_loopback(host) ||
	    !session_cookie(req, session, sizeof(session))) {
		(void)error_set(&err, ERR_UNSUPPORTED,
				"a guest's page is shown below localhost, and this server was not "
				"reached there: use banger vm forward, or a client with a token");
		http_reply_error(req, &err, NULL);
		return;
	}
	p = slot_for(req->server->previews, session, vm, port);
	if (!p->label[0]) {
		p->label[0] = 'p';
		secret_make(p->label + 1, SECRET_BYTES);
		(void)snprintf(p->session, sizeof(p->session), "%s", session);
		(void)snprintf(p->vm, sizeof(p->vm), "%s", vm);
		p->port = port;
	}
	p->used_us = clock_mono_us();
	explicit_bzero(session, sizeof(session));
	if (colon && strspn(colon + 1, "0123456789") != strlen(colon + 1))
		colon = NULL;
	if (asprintf(&location, "http://%s" SUFFIX "%s%s", p->label, colon ? colon : "", rest) <
	    0) {
		(void)error_errno(&err, -ENOMEM, "preview");
		http_reply_error(req, &err, NULL);
		return;
	}
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_header(req, "Referrer-Policy", "no-referrer");
	http_reply_header(req, "Location", location);
	http_reply_empty(req, 303);
}
