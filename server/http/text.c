/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are said more than once: many replies send the same bytes, none copies them. */
#include <stdlib.h>

#include "server/http/internal.h"

struct http_text {
	unsigned int refs;
	char *data;
	size_t len;
	char etag[HTTP_ETAG_SIZE];
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

void http_text_unref(struct http_text *text)
{
	if (!text || --text->refs > 0)
		return;
	free(text->data);
	free(text);
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

void http_reply_text(struct http_request *req, struct http_text *text)
{
	struct MHD_Response *response;

	if (http_not_modified(req, text->etag))
		return;
	response = MHD_create_response_from_buffer_with_free_callback_cls(text->len, text->data,
									  let_go, text);
	if (response)
		(void)http_text_ref(text);
	reply_whole(req, 200, "application/json", text->data, text->len, response);
}
