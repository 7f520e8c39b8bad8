/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libmicrohttpd refuses by itself (a request that breaks the grammar of HTTP, headers beyond
 * its memory) it answers with a page of its own, made by its public constructor of responses. This
 * one takes that constructor's place for the whole program, the library included, so that such a
 * client gets a problem document like any other. Where the library has been built to call its own
 * one directly, its pages stay; the status is the same.
 */
#include <assert.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/http/internal.h"
#include "server/http/problem.h"

static const char opening[] = "<html><head><title>";

static const struct {
	const char *title; /* of the library's page */
	enum error_code code;
	int status;
	const char *detail; /* NULL: no body */
} refusals[] = {
	/*
	 * Where the library does not look for Content-Length by the function below: after finding
	 * fault with it, 0.9.75 sends its reply's headers twice. Without a body the second time is
	 * behind the end of the reply, and the connection is closed there.
	 */
	{ "Request malformed</title></head><body>Your HTTP request has wrong value for",
	  ERR_BAD_REQUEST, 400, NULL },
	{ "Request content too large</title></head><body>Your HTTP request has too large",
	  ERR_TOO_LARGE, 413, NULL },
	/* With one of two statuses, 414 or 431: in words. */
	{ "Request too big", ERR_TOO_LARGE, 0,
	  "the request's target or its headers are too large: at most 8192 and 16384 bytes are "
	  "taken" },
	{ "Request malformed", ERR_BAD_REQUEST, 400, "the request breaks the grammar of HTTP" },
	{ "Requested HTTP version", ERR_UNSUPPORTED, 505, "HTTP/1.0 and HTTP/1.1 are spoken here" },
	{ "Request content too large", ERR_TOO_LARGE, 413, "the body is too large" },
	{ "Internal server error", ERR_INTERNAL, 500, "the HTTP layer has failed" },
};

static_assert(URI_LEN_MAX == 8192 && HEADER_BYTES_MAX == 16384, "a refusal names the limits");

/* The problem document in place of one of those pages; NULL when `page` is none. The caller frees.
 */
static char *problem_of(const char *page, size_t size)
{
	size_t skip = sizeof(opening) - 1;
	struct error err = ERROR_INIT;
	json_auto_t *problem = NULL;

	if (size <= skip || memcmp(page, opening, skip) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		size_t len = strlen(refusals[i].title);

		if (size - skip < len || memcmp(page + skip, refusals[i].title, len) != 0)
			continue;
		if (!refusals[i].detail)
			return calloc(1, 1);
		(void)error_set(&err, refusals[i].code, "%s", refusals[i].detail);
		problem = problem_to_json(&err, NULL, NULL, false);
		if (refusals[i].status == 0)
			return problem_to_text(problem);
		(void)json_object_set_new(problem, "status", json_integer(refusals[i].status));
		return json_text(problem);
	}
	return NULL;
}

/* The names of the parameters are the library's. */
__attribute__((visibility("default"))) struct MHD_Response *MHD_create_response_from_buffer(
	size_t size, void *buffer, enum MHD_ResponseMemoryMode mode)
{
	char *problem = mode == MHD_RESPMEM_PERSISTENT ? problem_of(buffer, size) : NULL;
	struct MHD_Response *response;
	void *copy;

	if (problem) {
		response = MHD_create_response_from_buffer_with_free_callback(strlen(problem),
									      problem, free);
		if (response && problem[0])
			(void)MHD_add_response_header(response, "Content-Type",
						      problem[0] == '{'
							      ? "application/problem+json"
							      : "text/plain; charset=utf-8");
		else if (!response)
			free(problem);
		return response;
	}
	if (mode == MHD_RESPMEM_PERSISTENT)
		return MHD_create_response_from_buffer_with_free_callback(size, buffer, NULL);
	if (mode == MHD_RESPMEM_MUST_FREE)
		return MHD_create_response_from_buffer_with_free_callback(size, buffer, free);
	copy = malloc(size ? size : 1);
	if (!copy)
		return NULL;
	memcpy(copy, buffer, size);
	response = MHD_create_response_from_buffer_with_free_callback(size, copy, free);
	if (!response)
		free(copy);
	return response;
}

typedef enum MHD_Result lookup_fn(struct MHD_Connection *connection, enum MHD_ValueKind kind,
				  const char *key, size_t key_size, const char **value,
				  size_t *value_size);

static lookup_fn *library_lookup;

__attribute__((constructor)) static void find_library_lookup(void)
{
	void *found = dlsym(RTLD_NEXT, "MHD_lookup_connection_value_n");

	memcpy(&library_lookup, &found, sizeof(found));
}

enum length_fault content_length_fault(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return LENGTH_NO_NUMBER;
	if (len == 0)
		return LENGTH_NO_NUMBER;
	return len > CONTENT_LENGTH_DIGITS ? LENGTH_TOO_LARGE : LENGTH_FINE;
}

/*
 * The library finds fault with Content-Length before anybody is asked, and then sends two replies.
 * It is not shown such a header: the request comes to check_framing() as one without a body, is
 * refused there in words, and the connection is closed.
 */
__attribute__((visibility("default"))) enum MHD_Result MHD_lookup_connection_value_n(
	struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key,
	size_t key_size, const char **value_ptr, size_t *value_size_ptr)
{
	static const char name[] = "Content-Length";
	const char *value = NULL;
	size_t size = 0;
	enum MHD_Result r;

	if (!library_lookup)
		return MHD_NO;
	r = library_lookup(connection, kind, key, key_size, &value, &size);
	if (r == MHD_NO)
		return r;
	if (kind == MHD_HEADER_KIND && key && key_size == sizeof(name) - 1 &&
	    strncasecmp(key, name, key_size) == 0 && value &&
	    content_length_fault(value, size) != LENGTH_FINE)
		return MHD_NO;
	if (value_ptr)
		*value_ptr = value;
	if (value_size_ptr)
		*value_size_ptr = size;
	return r;
}
