/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests (RFC 9110 section 13) with entity tags. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/etag.h"
#include "lib/json/json.h"
#include "server/http/internal.h"

enum { ETAG_MAX = 128, ETAG_LIST_MAX = 1024 };

/* A list may come as several fields of the same name (RFC 9110 section 5.3). */
struct list {
	const char *name;
	const char *etag; /* looked for … */
	bool weak;
	bool found;
	struct buf *joined; /* … or NULL, and the fields are put together here */
	int error;
};

static void on_field(void *data, const char *name, const char *value)
{
	struct list *list = data;

	if (strcasecmp(name, list->name) != 0)
		return;
	if (list->etag)
		list->found = list->found || etag_list_has(value, list->etag, list->weak);
	else if (list->error == 0)
		list->error =
			buf_printf(list->joined, "%s%s", buf_len(list->joined) ? ", " : "", value);
}

int http_etag_list(const struct http_request *req, const char *name, char **ret_list,
		   struct error *err)
{
	CLEANUP(buf_done)
	struct buf joined;
	struct list list = { .name = name, .joined = &joined };
	char *text;

	buf_init(&joined, ETAG_LIST_MAX + 1);
	if (!http_header(req, name))
		return 0;
	http_each_header(req, on_field, &list);
	if (list.error == 0)
		list.error = buf_append(&joined, "", 1); /* its end */
	if (list.error == -ENOBUFS)
		return error_set(err, ERR_INVALID,
				 "%s: of at most %d bytes, in all its fields together", name,
				 ETAG_LIST_MAX);
	text = list.error < 0 ? NULL : strdup((const char *)buf_bytes(&joined));
	if (!text)
		return error_errno(err, -ENOMEM, "read %s", name);
	if (!etag_list_valid(text)) {
		free(text);
		return error_set(err, ERR_BAD_REQUEST,
				 "%s: write ETags with their quotes, with ',' between them, or * "
				 "alone",
				 name);
	}
	*ret_list = text;
	return 0;
}

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
	struct list list = { .name = "If-None-Match", .etag = etag, .weak = true };

	if (http_header(req, list.name))
		http_each_header(req, on_field, &list);
	return list.found;
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
	struct list list = { .name = "If-Match", .etag = etag };

	if (!http_header(req, list.name))
		return 0;
	http_each_header(req, on_field, &list);
	if (list.found)
		return 0;
	return error_set(err, ERR_PRECONDITION, "the resource has changed: its version is \"%s\"",
			 etag);
}
