/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lists share: pages (the next one stands in the body and in the Link header) and `?since=`.
 *
 * To make the text of a thousand items takes a hundred times as long as to send it, and whoever
 * watches a list asks for the same page again and again. So the latest pages are kept as text,
 * each under the whole target that asked for it, until the version of what it shows is another.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"

enum {
	LINK_MAX = 8192,
	PAGE_MAX = 64 * 1024 * 1024, /* 1000 items of the largest kind are a tenth of it */
	KEPT_PAGE_MAX = 1024 * 1024, /* larger ones are made anew */
};

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

/* --- pages that are kept --- */

static void drop(struct kept_page *kept)
{
	free(kept->target);
	free(kept->link);
	http_text_unref(kept->text);
	*kept = (struct kept_page){ 0 };
}

void api_pages_done(struct api *api)
{
	for (size_t i = 0; i < API_KEPT_PAGES; i++)
		drop(&api->pages[i]);
	for (size_t i = 0; i < API_KEPT_VIEWS; i++)
		drop(&api->views[i]);
}

static void fill(struct kept_page *kept, const struct http_request *req, struct http_text *text,
		 const char *link, uint64_t version)
{
	drop(kept);
	kept->target = strdup(http_target(req));
	kept->link = link ? strdup(link) : NULL;
	if (!kept->target || (link && !kept->link)) {
		drop(kept);
		return;
	}
	kept->text = http_text_ref(text);
	kept->version = version;
}

/* Room is made by age; what is out of date goes at once. */
static void keep_page(struct api *api, const struct http_request *req, struct http_text *text,
		      const char *link, uint64_t version)
{
	for (size_t i = 0; i < API_KEPT_PAGES; i++)
		if (api->pages[i].version != version)
			drop(&api->pages[i]);
	if (http_text_len(text) > KEPT_PAGE_MAX)
		return;
	fill(&api->pages[api->next_page], req, text, link, version);
	api->next_page = (api->next_page + 1) % API_KEPT_PAGES;
}

static bool holds(const struct kept_page *kept, const struct http_request *req, uint64_t version)
{
	return kept->target && kept->version == version && streq(kept->target, http_target(req));
}

static struct kept_page *find_kept(struct api *api, const struct http_request *req,
				   uint64_t version)
{
	for (size_t i = 0; i < API_KEPT_PAGES; i++)
		if (holds(&api->pages[i], req, version))
			return &api->pages[i];
	return NULL;
}

static struct kept_page *view_place(struct api *api, const struct http_request *req)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (const char *p = http_target(req); *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619U;
	return &api->views[hash % API_KEPT_VIEWS];
}

static void reply_kept(struct http_request *req, const struct kept_page *kept)
{
	if (kept->link)
		http_reply_header(req, "Link", kept->link);
	http_reply_text(req, kept->text);
}

#ifdef BANGER_CHECK_REPLIES
/* In builds for tests each page is made anew, and what was kept must be the same. */
bool api_page_again(struct http_request *req, struct api *api, uint64_t version)
{
	(void)req;
	(void)api;
	(void)version;
	return false;
}

bool api_view_again(struct http_request *req, struct api *api, uint64_t version)
{
	(void)req;
	(void)api;
	(void)version;
	return false;
}

static bool check_kept(struct http_request *req, const struct kept_page *kept,
		       const struct http_text *text)
{
	if (!kept)
		return false;
	if (http_text_len(text) != http_text_len(kept->text) ||
	    memcmp(http_text_bytes(text), http_text_bytes(kept->text), http_text_len(text)) != 0)
		log_error("assertion failed: a page was kept although it has changed: %s",
			  http_target(req));
	reply_kept(req, kept);
	return true;
}
#else
bool api_page_again(struct http_request *req, struct api *api, uint64_t version)
{
	const struct kept_page *kept = find_kept(api, req, version);

	if (kept)
		reply_kept(req, kept);
	return kept != NULL;
}

bool api_view_again(struct http_request *req, struct api *api, uint64_t version)
{
	const struct kept_page *kept = view_place(api, req);

	if (!holds(kept, req, version))
		return false;
	http_reply_text(req, kept->text);
	return true;
}

static bool check_kept(struct http_request *req, const struct kept_page *kept,
		       const struct http_text *text)
{
	(void)req;
	(void)kept;
	(void)text;
	return false;
}
#endif

void api_view_reply(struct http_request *req, struct api *api, json_t *view, bool keep,
		    uint64_t version)
{
	json_auto_t *picked = http_pick_fields(req, view);
	char *data = picked ? json_text(picked) : NULL;
	struct http_text *text = data ? http_text_new(data, strlen(data)) : NULL;
	struct kept_page *place = view_place(api, req);
	struct error err = ERROR_INIT;

	if (!text) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory for the reply");
		http_reply_error(req, &err, NULL);
		return;
	}
	if (!check_kept(req, holds(place, req, version) ? place : NULL, text)) {
		if (keep)
			fill(place, req, text, NULL, version);
		http_reply_text(req, text);
	}
	http_text_unref(text);
}

void api_page_begin(struct api_page *page, struct http_request *req)
{
	static const char begin[] = "{\"items\":[";

	*page = (struct api_page){ .req = req };
	buf_init(&page->text, PAGE_MAX);
	page->failed = buf_append(&page->text, begin, sizeof(begin) - 1) < 0;
}

void api_page_add(struct api_page *page, json_t *item)
{
	json_auto_t *picked = http_pick_fields(page->req, item);
	autofree char *text = picked ? json_text(picked) : NULL;

	if (!text || (page->n > 0 && buf_append(&page->text, ",", 1) < 0) ||
	    buf_append(&page->text, text, strlen(text)) < 0)
		page->failed = true;
	page->n++;
}

static void refuse_page(struct http_request *req)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_NO_ROOM,
			"no memory for a page of this length: ask for fewer with limit=");
	http_reply_error(req, &err, NULL);
}

/* The page's text without what the buffer has too much. */
static struct http_text *take_text(struct api_page *page)
{
	size_t len = buf_len(&page->text);
	char *exact = page->failed ? NULL : malloc(len);

	if (!exact)
		return NULL;
	memcpy(exact, buf_bytes(&page->text), len);
	return http_text_new(exact, len);
}

void api_page_reply(struct api_page *page, struct api *api, const char *next, bool keep,
		    uint64_t version)
{
	json_auto_t *cursor = next ? json_string(next) : NULL;
	autofree char *quoted = cursor ? json_text(cursor) : NULL;
	struct http_text *text;
	const char *line = NULL;
	struct buf link;

	if ((quoted ? buf_printf(&page->text, "],\"next_cursor\":%s}", quoted)
		    : buf_append(&page->text, "]}", 2)) < 0)
		page->failed = true;
	text = take_text(page);
	buf_done(&page->text);
	if (!text) {
		refuse_page(page->req);
		return;
	}
	if (check_kept(page->req, find_kept(api, page->req, version), text)) {
		http_text_unref(text);
		return;
	}
	buf_init(&link, LINK_MAX);
	if (next && next_target(page->req, next, &link) == 0)
		line = (const char *)buf_bytes(&link);
	if (line)
		http_reply_header(page->req, "Link", line);
	if (keep)
		keep_page(api, page->req, text, line, version);
	http_reply_text(page->req, text);
	http_text_unref(text);
	buf_done(&link);
}

/* --- since --- */

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
