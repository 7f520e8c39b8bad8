/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefer, RFC 7240: a list of preferences in any number of fields, of which the first of a name
 * counts. Those that are not known are ignored, as it asks; those that are must be well formed.
 */
#include <string.h>

#include "server/http/internal.h"

enum { WAIT_MAX_S = 600 };

struct span {
	const char *at;
	size_t len;
};

struct reading {
	struct http_request *req;
	bool has_wait;
	bool has_leave;
	struct error *err;
	int r;
};

static struct span trim(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* What stands before the character; *s goes on behind it. */
static struct span cut(struct span *s, char c)
{
	const char *end = memchr(s->at, c, s->len);
	struct span head = { s->at, end ? (size_t)(end - s->at) : s->len };
	size_t used = head.len + (end != NULL);

	s->at += used;
	s->len -= used;
	return trim(head);
}

static bool is(struct span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

static void take_wait(struct reading *r, struct span value)
{
	bool good = value.len > 0;
	int n = 0;

	if (r->has_wait)
		return;
	r->has_wait = true;
	for (size_t i = 0; i < value.len; i++) {
		good = good && value.at[i] >= '0' && value.at[i] <= '9';
		if (good && n < WAIT_MAX_S)
			n = n * 10 + (value.at[i] - '0');
	}
	r->req->wait_s = n > WAIT_MAX_S ? WAIT_MAX_S : n;
	if (!good)
		r->r = error_set(r->err, ERR_BAD_REQUEST,
				 "Prefer: wait takes a whole number of seconds, as in wait=60");
}

static void take_leave(struct reading *r, struct span value)
{
	if (r->has_leave)
		return;
	r->has_leave = true;
	r->req->cancels = is(value, "cancel");
	if (!r->req->cancels && !is(value, "continue"))
		r->r = error_set(r->err, ERR_BAD_REQUEST,
				 "Prefer: on-disconnect is cancel or continue");
}

/* name, name=value or name="value", perhaps with parameters behind a semicolon. */
static void take(struct reading *r, struct span preference)
{
	struct span value = cut(&preference, ';');
	struct span name = cut(&value, '=');

	value = trim(value);
	if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
		value = (struct span){ value.at + 1, value.len - 2 };
	if (is(name, "wait"))
		take_wait(r, value);
	else if (is(name, "on-disconnect"))
		take_leave(r, value);
}

static enum MHD_Result on_header(void *data, enum MHD_ValueKind kind, const char *name,
				 const char *value)
{
	struct reading *r = data;
	struct span rest = { value, value ? strlen(value) : 0 };

	(void)kind;
	while (strcasecmp(name, "Prefer") == 0 && rest.len > 0)
		take(r, cut(&rest, ','));
	return MHD_YES;
}

int prefer_read(struct http_request *req, struct error *err)
{
	struct reading r = { .req = req, .err = err };

	/* It is for the server behind this one. */
	if (req->op->opaque)
		return 0;
	(void)MHD_get_connection_values(req->connection, MHD_HEADER_KIND, on_header, &r);
	return r.r;
}

int http_prefer_wait(const struct http_request *req)
{
	return req->wait_s;
}

bool http_prefer_cancel(const struct http_request *req)
{
	return req->cancels;
}
