/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests (RFC 9110 section 13) with entity tags. */
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/etag.h"
#include "lib/json/json.h"
#include "server/http/internal.h"

enum { ETAG_MAX = 128 };

void http_json_etag(const char *text, size_t len, char etag[HTTP_ETAG_SIZE])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	(void)snprintf(etag, HTTP_ETAG_SIZE, "%016llx", (unsigned long long)hash);
}

int http_check_if_match_json(const struct http_request *req, json_t *view, struct error *err)
{
	autofree char *text = NULL;
	char etag[HTTP_ETAG_SIZE];

	if (http_header(req, "If-Match"))
		text = json_text(view);
	json_decref(view);
	if (!text)
		return 0;
	http_json_etag(text, strlen(text), etag);
	return http_check_if_match(req, etag, err);
}

bool http_matches_etag(const struct http_request *req, const char *etag)
{
	const char *wanted = http_header(req, "If-None-Match");

	return wanted && etag_list_has(wanted, etag, true);
}

bool http_not_modified(struct http_request *req, const char *etag)
{
	char quoted[ETAG_MAX + 3];

	(void)snprintf(quoted, sizeof(quoted), "\"%.*s\"", ETAG_MAX, etag);
	http_reply_header(req, "ETag", quoted);
	if (!http_matches_etag(req, etag))
		return false;
	http_reply_empty(req, 304);
	return true;
}

int http_check_if_match(const struct http_request *req, const char *etag, struct error *err)
{
	const char *wanted = http_header(req, "If-Match");

	if (!wanted || etag_list_has(wanted, etag, false))
		return 0;
	return error_set(err, ERR_PRECONDITION, "the resource has changed: its version is \"%s\"",
			 etag);
}
