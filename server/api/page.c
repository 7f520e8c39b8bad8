/* SPDX-License-Identifier: Apache-2.0 */
/* What lists share: pages (the next one stands in the body and in the Link header) and `?since=`.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "server/api/handlers.h"

enum { LINK_MAX = 8192 };

/* The target of this request with another cursor. */
static int next_target(const struct http_request *req, const char *cursor, struct buf *b)
{
	const char *p = strchr(http_target(req), '?');
	int r = buf_printf(b, "<%s?cursor=%s", http_path(req), cursor);

	while (r == 0 && p && *p) {
		size_t len = strcspn(++p, "&");

		if (len > 0 && strncmp(p, "cursor=", 7) != 0)
			r = buf_printf(b, "&%.*s", (int)len, p);
		p += len;
	}
	return r < 0 ? r : buf_append(b, ">; rel=\"next\"", sizeof(">; rel=\"next\""));
}

void api_reply_page(struct http_request *req, json_t *items, const char *next)
{
	json_t *reply = json_pack("{s:o}", "items", items);
	struct buf link;

	buf_init(&link, LINK_MAX);
	if (next) {
		(void)json_object_set_new(reply, "next_cursor", json_string(next));
		if (next_target(req, next, &link) == 0)
			http_reply_header(req, "Link", (const char *)buf_bytes(&link));
	}
	buf_done(&link);
	http_reply_json(req, 200, reply);
}

int64_t api_query_since(const struct http_request *req)
{
	const char *since = http_query(req, "since");

	return since ? clock_parse_ms(since) : INT64_MIN;
}

bool api_since_match(const struct http_request *req, const json_t *view, const char *name)
{
	const char *time = json_string_value(json_object_get(view, name));
	int64_t since = api_query_since(req);

	return since == INT64_MIN || (time && clock_parse_ms(time) >= since);
}
