/* SPDX-License-Identifier: Apache-2.0 */
/* A request target in: what the router makes of it means what was sent, and nothing else. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/document.h"
#include "server/http/embedded.h"
#include "tests/fuzz/fuzz.h"

static const struct document *the_document(void)
{
	static struct document *document;
	const struct embedded text = embedded_openapi_json();
	struct error err;

	if (!document) {
		int r = document_load(text.data, text.len, &document, &err);

		assert(r == 0);
	}
	return document;
}

static void check_segment(const char *segment, bool text)
{
	assert(strcmp(segment, ".") != 0 && strcmp(segment, "..") != 0);
	for (const char *p = segment; text && *p; p++)
		assert((unsigned char)*p >= 0x20 && *p != 0x7f);
}

/* What takes the rest of a path alone may be bytes of any kind. */
static void check_values(const struct route_match *match)
{
	assert(match->n_values <= PATH_PARAMS_MAX);
	for (size_t i = 0; i < match->n_values; i++) {
		assert(match->values[i]);
		if (match->values[i] != match->rest)
			check_segment(match->values[i], true);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *target = strndup((const char *)data, size);
	struct route_match match = { 0 };
	struct uri uri;
	struct error err;

	assert(target);
	if (uri_parse(target, &uri, &err) == 0) {
		assert(target[0] == '/' && strlen(target) <= URI_LEN_MAX);
		assert(strcmp(uri.target, target) == 0);
		assert(uri.n_segments <= URI_SEGMENTS_MAX && uri.n_query <= URI_QUERY_MAX);
		for (size_t i = 0; i < uri.n_segments; i++)
			check_segment(uri.segments[i], i < uri.n_text);
		if (route_find(the_document(), &uri, &match) == 0)
			check_values(&match);
		free(match.rest);
		uri_done(&uri);
	}
	free(target);
	return 0;
}
