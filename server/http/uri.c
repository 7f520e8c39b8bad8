/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/hex.h"
#include "lib/base/utf8.h"

static bool is_text(const char *s)
{
	size_t len = strlen(s);

	for (size_t at = 0; at < len;) {
		bool plain = s[at] >= 0x20 && s[at] < 0x7f;
		size_t n = plain ? 1 : utf8_sequence(s + at, len - at);

		if (n == 0 || (unsigned char)s[at] < 0x20 || s[at] == 0x7f)
			return false;
		at += n;
	}
	return true;
}

int uri_decode(char *text, bool plus)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (*p == '%') {
			int hi = hex_digit(p[1]);
			int lo = hi < 0 ? -1 : hex_digit(p[2]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return -EINVAL;
			*out++ = (char)(hi << 4 | lo);
			p += 2;
		} else {
			*out++ = plus && *p == '+' ? ' ' : *p;
		}
	}
	*out = '\0';
	return 0;
}

int uri_refuse_bytes(const char *what, struct error *err)
{
	return error_set(err, ERR_BAD_REQUEST,
			 "%s has a bad escape or characters that may not stand there", what);
}

static int parse_segments(struct uri *uri, char *path, struct error *err)
{
	char *p = path + 1;

	while (*p) {
		size_t offset = (size_t)(p - path);
		char *end = strchrnul(p, '/');
		bool last = *end == '\0';

		*end = '\0';
		if (uri->n_segments == URI_SEGMENTS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "the path has more than %d segments",
					 URI_SEGMENTS_MAX);
		if (uri_decode(p, false) < 0)
			return uri_refuse_bytes("the path", err);
		if (uri->n_text == uri->n_segments && is_text(p))
			uri->n_text++;
		if (streq(p, ".") || streq(p, ".."))
			return error_set(err, ERR_BAD_REQUEST, "the path has a . or .. segment");
		uri->rest[uri->n_segments] = uri->path + offset;
		uri->segments[uri->n_segments++] = p;
		if (last)
			break;
		p = end + 1;
	}
	return 0;
}

static int parse_query(struct uri *uri, char *query, struct error *err)
{
	char *save = NULL;

	for (char *p = strtok_r(query, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
		char *value = strchr(p, '=');
		struct uri_pair *pair = &uri->query[uri->n_query];

		if (uri->n_query == URI_QUERY_MAX)
			return error_set(err, ERR_BAD_REQUEST,
					 "the query has more than %d parameters", URI_QUERY_MAX);
		if (value)
			*value++ = '\0';
		pair->name = p;
		pair->value = value ? value : "";
		if (uri_decode(p, true) < 0 || (value && uri_decode(value, true) < 0))
			return uri_refuse_bytes("the query", err);
		if (!uri->query_bad && (!is_text(pair->name) || !is_text(pair->value)))
			uri->query_bad = pair->name;
		uri->n_query++;
	}
	return 0;
}

/* The long arrays stay as they are. */
static void uri_clear(struct uri *uri)
{
	uri->storage = NULL;
	uri->target = NULL;
	uri->path = NULL;
	uri->n_segments = 0;
	uri->n_text = 0;
	uri->n_query = 0;
	uri->query_bad = NULL;
}

/* Storage holds the target as it was sent, its path, and a copy to be cut up and decoded in place.
 */
int uri_parse(const char *target, struct uri *ret_uri, struct error *err)
{
	size_t len = strnlen(target, URI_LEN_MAX + 1);
	struct uri *uri = ret_uri;
	char *copy;
	char *query;
	int r;

	uri_clear(uri);
	if (len > URI_LEN_MAX)
		return error_set(err, ERR_BAD_REQUEST, "the request target is longer than %d bytes",
				 URI_LEN_MAX);
	if (target[0] != '/')
		return error_set(err, ERR_BAD_REQUEST, "the request target must begin with /");
	if (!is_text(target))
		return uri_refuse_bytes("the request target", err);
	uri->storage = malloc(3 * (len + 1));
	if (!uri->storage)
		return error_errno(err, -ENOMEM, "request target");
	uri->target = uri->storage;
	uri->path = uri->storage + len + 1;
	copy = uri->path + len + 1;
	memcpy(uri->target, target, len + 1);
	memcpy(uri->path, target, len + 1);
	memcpy(copy, target, len + 1);
	query = strchr(copy, '?');
	if (query) {
		uri->path[query - copy] = '\0';
		*query++ = '\0';
	}
	r = parse_segments(uri, copy, err);
	if (r == 0 && query)
		r = parse_query(uri, query, err);
	if (r < 0)
		uri_done(uri);
	return r;
}

void uri_done(struct uri *uri)
{
	free(uri->storage);
	uri_clear(uri);
}

const char *uri_query(const struct uri *uri, const char *name)
{
	for (size_t i = 0; i < uri->n_query; i++)
		if (streq(uri->query[i].name, name))
			return uri->query[i].value;
	return NULL;
}
