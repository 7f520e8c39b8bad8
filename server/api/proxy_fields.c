/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/proxy_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

#define SESSION_COOKIE "banger_session_"

/* --- of the request, as the guest gets it --- */

struct head {
	struct buf *out;
	const struct http_request *req;
	const char *connection;
	bool preview;
	int r;
};

static void put(struct head *h, const char *name, const char *value)
{
	if (h->r == 0)
		h->r = buf_printf(h->out, "%s: %s\r\n", name, value);
}

/* Cookie without the dashboard's session. */
static void put_cookies(struct head *h, const char *value)
{
	autofree char *kept = strdup(value);
	char *end = kept;

	while (kept && *value) {
		size_t n;

		value += strspn(value, "; \t");
		n = strcspn(value, ";");
		if (n > 0 && strncmp(value, SESSION_COOKIE, strlen(SESSION_COOKIE)) != 0) {
			if (end > kept)
				end = stpcpy(end, "; ");
			end = mempcpy(end, value, n);
		}
		value += n;
	}
	if (kept && end > kept) {
		*end = '\0';
		put(h, "Cookie", kept);
	}
}

/* Fields that are banger's own, that are made anew, or that tell a guest where it is shown. */
static bool kept_back(const char *name)
{
	static const char *const names[] = { "Host",   "Content-Length", "Expect",
					     "Origin", "Referer",        "HTTP2-Settings",
					     "Cookie", "Idempotency-Key" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return strncasecmp(name, "X-Forwarded-", 12) == 0;
}

static bool passes(const struct head *h, const char *name)
{
	/* At a preview's origin it is the guest's own; banger's is never sent there. */
	if (strcasecmp(name, "Authorization") == 0)
		return h->preview;
	return !kept_back(name) && !upstream_hop_by_hop(name, h->connection);
}

static void put_field(void *data, const char *name, const char *value)
{
	struct head *h = data;

	if (strcasecmp(name, "Cookie") == 0)
		put_cookies(h, value);
	else if (passes(h, name))
		put(h, name, value);
}

const char *proxy_rest(const struct http_request *req)
{
	const char *p = http_target(req);

	for (int i = 0; i < 4 && p; i++)
		p = strpbrk(p + 1, "/?");
	return p ? p : "";
}

int proxy_put_request(struct buf *out, const struct http_request *req,
		      const struct proxy_place *place, enum proxy_body body, bool may_switch)
{
	const char *upgrade = http_header(req, "Upgrade");
	const char *length = http_header(req, "Content-Length");
	const char *rest = proxy_rest(req);
	struct head h = { .out = out,
			  .req = req,
			  .connection = http_header(req, "Connection"),
			  .preview = place->preview };
	char own[32];

	(void)snprintf(own, sizeof(own), "localhost:%u", place->port);
	h.r = buf_printf(h.out, "%s %s%s HTTP/1.1\r\nHost: %s\r\n", http_method(req),
			 rest[0] == '/' ? "" : "/", rest, own);
	http_each_header(req, put_field, &h);
	if (http_header(req, "Origin")) {
		(void)snprintf(own, sizeof(own), "http://localhost:%u", place->port);
		put(&h, "Origin", own);
	}
	put(&h, "X-Forwarded-Host", http_header(req, "Host"));
	if (body == PROXY_BODY_CHUNKED)
		put(&h, "Transfer-Encoding", "chunked");
	else if (body == PROXY_BODY_LENGTH)
		put(&h, "Content-Length", length ? length : "0");
	if (upgrade && may_switch) {
		put(&h, "Connection", "Upgrade");
		put(&h, "Upgrade", upgrade);
	} else {
		put(&h, "Connection", "close");
	}
	return h.r == 0 ? buf_append(h.out, "\r\n", 2) : h.r;
}

/* --- of the reply, as the client gets it --- */

/* What a page of a guest says must not reach beyond its own origin. */
static bool refused_field(const struct proxy_place *place, const struct upstream_field *f)
{
	static const char *const never[] = { "Content-Length", "Date", "Strict-Transport-Security",
					     "Alt-Svc", "Public-Key-Pins" };
	static const char *const of_origin[] = {
		"Set-Cookie", "Clear-Site-Data",     "Service-Worker-Allowed", "NEL",
		"Report-To",  "Reporting-Endpoints", "Content-Security-Policy"
	};

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (strcasecmp(f->name, never[i]) == 0)
			return true;
	if (place->preview)
		return strcasecmp(f->name, "Set-Cookie") == 0 && strcasestr(f->value, "domain=");
	for (size_t i = 0; i < ARRAY_SIZE(of_origin); i++)
		if (strcasecmp(f->name, of_origin[i]) == 0)
			return true;
	return strncasecmp(f->name, "Access-Control-", 15) == 0;
}

/* A redirection to the guest's own server leads back here. */
static void put_location(struct http_request *req, const struct proxy_place *place,
			 const char *value)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
	char origin[40];
	autofree char *whole = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t n = (size_t)snprintf(origin, sizeof(origin), "http://%s:%u", hosts[i],
					    place->port);

		if (strncasecmp(value, origin, n) == 0 && (value[n] == '/' || !value[n])) {
			value = value[n] ? value + n : "/";
			break;
		}
	}
	if (!place->preview && value[0] == '/' && value[1] != '/' &&
	    asprintf(&whole, "/vms/%s/proxy/%u%s", place->vm_id, place->port, value) >= 0)
		value = whole;
	http_reply_header(req, "Location", value);
}

void proxy_put_reply(struct http_request *req, const struct upstream *u,
		     const struct proxy_place *place)
{
	const char *connection = upstream_field(u, "Connection");

	for (size_t i = 0; i < u->n_fields; i++) {
		const struct upstream_field *f = &u->fields[i];

		if (refused_field(place, f) || upstream_hop_by_hop(f->name, connection))
			continue;
		if (strcasecmp(f->name, "Location") == 0)
			put_location(req, place, f->value);
		else
			http_reply_header(req, f->name, f->value);
	}
	/* On the API's own origin nothing of it is a page. */
	if (!place->preview)
		http_reply_header(req, "Content-Security-Policy",
				  "sandbox; default-src 'none'; frame-ancestors 'none'");
	if (!upstream_field(u, "Cache-Control"))
		http_reply_header(req, "Cache-Control", "no-store");
	if (!upstream_field(u, "Referrer-Policy"))
		http_reply_header(req, "Referrer-Policy", "same-origin");
}
