/* SPDX-License-Identifier: Apache-2.0 */
/* Operations about the API itself. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/accept.h"
#include "server/http/embedded.h"
#include "server/http/internal.h"
#include "server/http/problem.h"
#include "server/http/session.h"

/* The compressed form where the client takes it; both live as long as the program. */
static void reply_best(struct http_request *req, const char *type, struct embedded plain,
		       struct embedded gz)
{
	const char *encodings = http_header(req, "Accept-Encoding");
	bool compressed = encodings && accept_encoding(encodings, "gzip");
	const struct embedded *best = compressed ? &gz : &plain;
	char etag[HTTP_ETAG_SIZE];

	http_json_etag(best->data, best->len, etag);
	http_reply_header(req, "Vary", "Accept-Encoding");
	http_reply_header(req, "Cache-Control", "no-cache");
	if (http_not_modified(req, etag))
		return;
	if (compressed)
		http_reply_header(req, "Content-Encoding", "gzip");
	http_reply_static(req, 200, type, best->data, best->len);
}

static void openapi_json(struct http_request *req, void *context)
{
	(void)context;
	reply_best(req, "application/json", embedded_openapi_json(), embedded_openapi_json_gz());
}

static void openapi_yaml(struct http_request *req, void *context)
{
	struct embedded doc = embedded_openapi_yaml();

	char etag[HTTP_ETAG_SIZE];

	(void)context;
	http_json_etag(doc.data, doc.len, etag);
	http_reply_header(req, "Cache-Control", "no-cache");
	if (!http_not_modified(req, etag))
		http_reply_static(req, 200, "application/yaml", doc.data, doc.len);
}

/* The page has its style in itself and nothing else: no script may run in it. */
static void docs(struct http_request *req, void *context)
{
	(void)context;
	http_reply_header(req, "Content-Security-Policy",
			  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
			  "base-uri 'none'; form-action 'none'");
	http_reply_header(req, "Referrer-Policy", "no-referrer");
	reply_best(req, "text/html; charset=utf-8", embedded_docs_html(), embedded_docs_html_gz());
}

static void problem_list(struct http_request *req, void *context)
{
	(void)context;
	http_reply_json(req, 200, json_pack("{s:o}", "items", problem_catalogue()));
}

static void problem_page_get(struct http_request *req, void *context)
{
	enum error_code code = problem_code_parse(http_param(req, "code"));
	autofree char *page = NULL;
	struct error err = ERROR_INIT;

	(void)context;
	if (code == ERROR_CODE_MAX_) {
		(void)error_set(&err, ERR_NOT_FOUND, "there is no problem %s",
				http_param(req, "code"));
		http_reply_error(req, &err, NULL);
		return;
	}
	page = problem_page(code);
	http_reply_bytes(req, 200, "text/plain; charset=utf-8", page ? page : "",
			 page ? strlen(page) : 0);
}

const struct http_handler builtin_handlers[] = {
	{ "openapi_json", openapi_json },
	{ "openapi_yaml", openapi_yaml },
	{ "docs", docs },
	{ "problem_list", problem_list },
	{ "problem_page", problem_page_get },
	{ "login_create", login_create },
	{ "login_use", login_use },
	{ "session_get", session_get },
	{ "session_delete", session_delete },
	{ "ticket_create", ticket_create },
};
const size_t builtin_handlers_n = ARRAY_SIZE(builtin_handlers);
