/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are said more than once: many replies send the same bytes, none copies them. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/http/internal.h"

/* Its replies are made once, too: libmicrohttpd counts who still sends them. */
struct http_text {
	unsigned int refs; /* one of them is of `whole` */
	char *data;
	size_t len;
	char etag[HTTP_ETAG_SIZE];
	struct MHD_Response *whole;
	struct MHD_Response *not_modified;
};

struct http_text *http_text_new(char *data, size_t len)
{
	struct http_text *text = calloc(1, sizeof(*text));

	if (!text) {
		free(data);
		return NULL;
	}
	text->refs = 1;
	text->data = data;
	text->len = len;
	http_json_etag(data, len, text->etag);
	return text;
}

struct http_text *http_text_ref(struct http_text *text)
{
	text->refs++;
	return text;
}

static void text_free(struct http_text *text)
{
	if (text->not_modified)
		MHD_destroy_response(text->not_modified);
	free(text->data);
	free(text);
}

void http_text_unref(struct http_text *text)
{
	struct MHD_Response *whole;

	if (!text)
		return;
	if (--text->refs == 0) {
		text_free(text);
	} else if (text->refs == 1 && text->whole) {
		/* Only its own reply is left, which may still be on its way. */
		whole = TAKE_PTR(text->whole);
		MHD_destroy_response(whole);
	}
}

size_t http_text_len(const struct http_text *text)
{
	return text->len;
}

const char *http_text_bytes(const struct http_text *text)
{
	return text->data;
}

static void let_go(void *text)
{
	http_text_unref(text);
}

static struct MHD_Response *new_reply(struct http_text *text, bool whole)
{
	struct MHD_Response *response;

	if (!whole)
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	response = MHD_create_response_from_buffer_with_free_callback_cls(text->len, text->data,
									  let_go, text);
	if (response)
		(void)http_text_ref(text);
	return response;
}

static struct MHD_Response *shared_reply(struct http_text *text, bool whole)
{
	struct MHD_Response **place = whole ? &text->whole : &text->not_modified;
	char quoted[HTTP_ETAG_SIZE + 2];

	if (*place)
		return *place;
	*place = new_reply(text, whole);
	if (!*place)
		return NULL;
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", text->etag);
	(void)MHD_add_response_header(*place, "ETag", quoted);
	if (whole)
		(void)MHD_add_response_header(*place, "Content-Type", "application/json");
	(void)MHD_add_response_header(*place, "X-Content-Type-Options", "nosniff");
	return *place;
}

void http_reply_text(struct http_request *req, struct http_text *text)
{
	bool whole;

	if (request_takes_shared(req)) {
		whole = !http_matches_etag(req, text->etag);
		reply_shared(req, whole ? 200 : 304, text, shared_reply(text, whole));
	} else if (!http_not_modified(req, text->etag)) {
		reply_whole(req, 200, "application/json", text->data, text->len,
			    new_reply(text, true));
	}
}
