/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/http/accept.h"
#include "server/http/internal.h"
#include "server/http/problem.h"

/* A use after the end is not to be hidden from the sanitizers. */
#ifdef BANGER_CHECK_REPLIES
enum { SPARE_MAX = 0 };
#else
enum { SPARE_MAX = 32 };
#endif

/* What is not available yet: in a moment, perhaps. */
#define RETRY_AFTER_S "5"

/* --- life --- */

/* A few that have ended are used again: to allocate so much each time makes the allocator tidy up
 * each time. */
static struct http_request *take_spare(struct http_server *server)
{
	struct http_request *req = server->spare;

	if (!req)
		return calloc(1, sizeof(*req));
	server->spare = req->next;
	server->n_spare--;
	memset(req, 0, offsetof(struct http_request, uri_error));
	return req;
}

static void put_spare(struct http_server *server, struct http_request *req)
{
	if (server->n_spare == SPARE_MAX) {
		free(req);
		return;
	}
	req->next = server->spare;
	server->spare = req;
	server->n_spare++;
}

void requests_done(struct http_server *server)
{
	while (server->spare) {
		struct http_request *req = server->spare;

		server->spare = req->next;
		free(req);
	}
}

struct http_request *request_new(struct listener *listener, struct MHD_Connection *connection,
				 const char *target)
{
	struct http_server *server = listener->server;
	struct http_request *req = take_spare(server);

	if (!req)
		return NULL;
	req->server = server;
	req->listener = listener;
	req->connection = connection;
	req->client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
			      ->socket_context;
	req->method = "";
	req->stream_length = MHD_SIZE_UNKNOWN;
	req->uri_error.code = ERR_NONE;
	if (uri_parse(target, &req->uri, &req->uri_error) < 0)
		req->uri_bad = true;
	req->next = server->requests;
	if (req->next)
		req->next->prev = req;
	server->requests = req;
	return req;
}

static void drop_response(struct http_request *req, struct MHD_Response *response)
{
	if (req->shared)
		http_text_unref(TAKE_PTR(req->shared));
	else if (response)
		MHD_destroy_response(response);
}

void request_free(struct http_request *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		req->server->requests = req->next;
	if (req->next)
		req->next->prev = req->prev;
	for (size_t i = 0; i < req->n_headers; i++) {
		free(req->headers[i].name);
		free(req->headers[i].value);
	}
	drop_response(req, TAKE_PTR(req->response));
	loop_fd_remove(req->watch);
	json_decref(req->json);
	buf_done(&req->body);
	free(req->match.rest);
	uri_done(&req->uri);
	put_spare(req->server, req);
}

/* --- waiting --- */

static void on_client_left(void *data, uint32_t events)
{
	struct http_request *req = data;

	(void)events;
	request_abort(req);
}

static int connection_fd(const struct http_request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* Without the watch, which may fail for want of memory, a client's leaving shows with the reply. */
void request_suspend(struct http_request *req)
{
	if (req->suspended)
		return;
	req->suspended = true;
	MHD_suspend_connection(req->connection);
	if (loop_fd_add(req->server->loop, connection_fd(req), EPOLLRDHUP, on_client_left, req,
			&req->watch) < 0)
		req->watch = NULL;
}

void request_resume(struct http_request *req)
{
	loop_fd_remove(req->watch);
	req->watch = NULL;
	if (!req->suspended)
		return;
	req->suspended = false;
	MHD_resume_connection(req->connection);
	listener_kick(req->listener);
}

void request_abort(struct http_request *req)
{
	loop_fn *gone = req->gone;

	req->aborted = true;
	req->gone = NULL;
	if (gone)
		gone(req->gone_data);
	if (req->stream)
		stream_completed(req->stream);
	if (req->tunnel)
		tunnel_abort(req->tunnel);
	request_resume(req);
}

void http_on_gone(struct http_request *req, loop_fn *fn, void *data)
{
	req->gone = fn;
	req->gone_data = data;
}

/* --- what was asked --- */

const char *http_method(const struct http_request *req)
{
	return req->method;
}

const char *http_path(const struct http_request *req)
{
	return req->uri.path;
}

const char *http_target(const struct http_request *req)
{
	return req->uri.target;
}

const char *http_param(const struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->match.n_values; i++)
		if (streq(req->op->params[i].name, name))
			return req->match.values[i];
	return NULL;
}

const char *http_query(const struct http_request *req, const char *name)
{
	return uri_query(&req->uri, name);
}

const char *http_query_next(const struct http_request *req, const char *name, size_t *at)
{
	while (*at < req->uri.n_query) {
		const struct uri_pair *pair = &req->uri.query[(*at)++];

		if (streq(pair->name, name))
			return pair->value;
	}
	return NULL;
}

const char *http_header(const struct http_request *req, const char *name)
{
	const char *value = NULL;
	size_t len = strlen(name);

	if (!(req->absent & header_bit(name, len)))
		(void)MHD_lookup_connection_value_n(req->connection, MHD_HEADER_KIND, name, len,
						    &value, NULL);
	return value;
}

struct each_header {
	http_header_fn *fn;
	void *data;
};

static enum MHD_Result on_each_header(void *cls, enum MHD_ValueKind kind, const char *name,
				      const char *value)
{
	const struct each_header *each = cls;

	(void)kind;
	each->fn(each->data, name, value ? value : "");
	return MHD_YES;
}

void http_each_header(const struct http_request *req, http_header_fn *fn, void *data)
{
	struct each_header each = { fn, data };

	(void)MHD_get_connection_values(req->connection, MHD_HEADER_KIND, on_each_header, &each);
}

const json_t *http_body(const struct http_request *req)
{
	return req->json;
}

const char *http_new_id(struct http_request *req)
{
	if (!req->new_id.s[0])
		req->new_id = id_new();
	return req->new_id.s;
}

const char *http_principal(const struct http_request *req)
{
	return req->principal;
}

enum http_scope http_scope(const struct http_request *req)
{
	return req->scope;
}

bool http_accepts(const struct http_request *req, const char *type)
{
	const struct operation *op = req->op;
	int best = accept_best(http_header(req, "Accept"), op->reply_types, op->n_reply_types);

	if (best < 0)
		best = 0;
	return op->n_reply_types > 0 && streq(op->reply_types[best], type);
}

/* --- the reply --- */

void http_reply_header(struct http_request *req, const char *name, const char *value)
{
	struct reply_header *h = &req->headers[req->n_headers];

	assert(req->n_headers < REPLY_HEADERS_MAX);
	h->name = strdup(name);
	h->value = strdup(value);
	req->n_headers++;
}

static const char *reply_location(const struct http_request *req)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (req->headers[i].name && strcasecmp(req->headers[i].name, "Location") == 0)
			return req->headers[i].value;
	return NULL;
}

/* Who is not known is in the log: nobody fills the audit trail without a token, nor does a page
 * that a guest serves. */
static void tell_audit(const struct http_request *req, unsigned int status)
{
	const struct http_config *c = &req->server->config;
	const struct http_audit audit = { .operation = req->op ? req->op->id : "",
					  .method = req->method,
					  .path = req->uri.path,
					  .by = req->principal,
					  .location = reply_location(req),
					  .status = status };
	bool looks = streq(req->method, "GET") || streq(req->method, "HEAD") ||
		     streq(req->method, "OPTIONS");

	if (c->audit && req->op && req->principal[0] && !req->by_preview &&
	    (!looks || status == MHD_HTTP_SWITCHING_PROTOCOLS))
		c->audit(c->context, &audit);
}

/* Steals the response. A second reply to one request is a mistake of the handler. */
void request_set_response(struct http_request *req, unsigned int status,
			  struct MHD_Response *response)
{
	assert(!req->response && !req->queued);
	if (!response) {
		log_error("%s %s: out of memory for the reply", req->method, req->uri.path);
		req->gone = NULL;
		request_abort(req);
		return;
	}
	for (size_t i = 0; i < req->n_headers; i++) {
		const struct reply_header *h = &req->headers[i];

		if (h->name && h->value)
			(void)MHD_add_response_header(response, h->name, h->value);
	}
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (req->close_after)
		(void)MHD_add_response_header(response, "Connection", "close");
	req->status = status;
	req->response = response;
	req->gone = NULL;
	tell_audit(req, status);
	request_resume(req);
}

enum MHD_Result request_queue(struct http_request *req)
{
	struct MHD_Response *response = TAKE_PTR(req->response);
	enum MHD_Result r = MHD_queue_response(req->connection, req->status, response);

	if (req->status >= 100 && req->status < 600)
		req->server->counts.replies[req->status / 100 - 1]++;
	req->queued = true;
	drop_response(req, response);
	return r;
}

#ifdef BANGER_CHECK_REPLIES
/* In builds for tests, whoever asks: a reply that the document does not promise is a bug. */
static void check_reply(const struct http_request *req, int status, const char *content_type,
			const char *text, size_t len)
{
	const struct reply_schema *promised = NULL;
	json_auto_t *value = json_loadb(text, len, JSON_DECODE_ANY, NULL);
	struct violations v = { 0 };
	autofree char *found = NULL;

	if (!req->op || !strstr(content_type, "json"))
		return;
	for (size_t i = 0; i < req->op->n_replies; i++) {
		const struct reply_schema *one = &req->op->replies[i];

		if (streq(one->type, content_type) &&
		    (one->status == status || (!one->status && !promised && status >= 400)))
			promised = one;
	}
	if (promised && value && http_query(req, "fields"))
		return;
	if (promised && value && schema_validate(promised->schema, value, &v))
		return;
	found = v.list ? json_dumps(v.list, 0) : NULL;
	log_error("assertion failed: the document does not promise this reply: %s %s: %d %s: %s",
		  req->method, req->op->path, status, content_type,
		  found ? found : "no such status or type");
	violations_done(&v);
}
#else
static void check_reply(const struct http_request *req, int status, const char *content_type,
			const char *text, size_t len)
{
	(void)req;
	(void)status;
	(void)content_type;
	(void)text;
	(void)len;
}
#endif

void reply_whole(struct http_request *req, int status, const char *content_type, const char *data,
		 size_t len, struct MHD_Response *response)
{
	if (response) {
		check_reply(req, status, content_type, data, len);
		replay_done(req, status, content_type, data, len);
		(void)MHD_add_response_header(response, "Content-Type", content_type);
	}
	request_set_response(req, (unsigned int)status, response);
}

bool request_takes_shared(const struct http_request *req)
{
	return req->n_headers == 0 && !req->close_after && !req->suspended && !req->replay;
}

/* Its keeper may let the text go before the reply is queued. */
void reply_shared(struct http_request *req, int status, struct http_text *text,
		  struct MHD_Response *response)
{
	assert(!req->response && !req->queued);
	if (!response) {
		request_set_response(req, (unsigned int)status, NULL);
		return;
	}
	if (status == 200)
		check_reply(req, status, "application/json", http_text_bytes(text),
			    http_text_len(text));
	req->status = (unsigned int)status;
	req->response = response;
	req->shared = http_text_ref(text);
	req->gone = NULL;
	tell_audit(req, req->status);
}

static void reply_owned(struct http_request *req, int status, const char *content_type, char *data,
			size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);

	if (!response)
		free(data);
	reply_whole(req, status, content_type, data, len, response);
}

bool request_replies_with(const struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (req->headers[i].name && strcasecmp(req->headers[i].name, name) == 0)
			return true;
	return false;
}

static bool not_modified_text(struct http_request *req, const char *text, size_t len)
{
	char etag[HTTP_ETAG_SIZE];

	http_json_etag(text, len, etag);
	return http_not_modified(req, etag);
}

void http_reply_json(struct http_request *req, int status, json_t *body)
{
	json_auto_t *owned = http_pick_fields(req, body);
	char *text = owned ? json_text(owned) : NULL;

	size_t len = text ? strlen(text) : 0;

	if (!text) {
		request_set_response(req, 500, NULL);
		return;
	}
	if (status == 200 && req->op->method == METHOD_GET && !request_replies_with(req, "ETag") &&
	    not_modified_text(req, text, len)) {
		free(text);
		return;
	}
	reply_owned(req, status, "application/json", text, len);
}

void http_reply_bytes(struct http_request *req, int status, const char *content_type,
		      const void *data, size_t len)
{
	struct MHD_Response *response;

	replay_done(req, status, content_type, data, len);
	response = MHD_create_response_from_buffer(len, (void *)(uintptr_t)data,
						   MHD_RESPMEM_MUST_COPY);

	if (response)
		(void)MHD_add_response_header(response, "Content-Type", content_type);
	request_set_response(req, (unsigned int)status, response);
}

void http_reply_static(struct http_request *req, int status, const char *content_type,
		       const void *data, size_t len)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		len, (void *)(uintptr_t)data, MHD_RESPMEM_PERSISTENT);

	if (response)
		(void)MHD_add_response_header(response, "Content-Type", content_type);
	request_set_response(req, (unsigned int)status, response);
}

void http_reply_fd(struct http_request *req, int status, const char *content_type, int fd)
{
	struct MHD_Response *response = NULL;
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		response = MHD_create_response_from_fd64((uint64_t)st.st_size, fd);
	if (!response)
		close_keep_errno(fd);
	else
		(void)MHD_add_response_header(response, "Content-Type", content_type);
	request_set_response(req, (unsigned int)status, response);
}

void http_reply_empty(struct http_request *req, int status)
{
	replay_done(req, status, NULL, "", 0);
	request_set_response(req, (unsigned int)status,
			     MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

/* Internal errors are worth a line in the log; the client's own mistakes are not. */
void reply_problem(struct http_request *req, const struct error *err, const char *operation,
		   json_t *errors, bool more)
{
	static const char *const offered[] = { "application/problem+json", "application/json",
					       "text/plain" };
	json_auto_t *missing = errors ? NULL : params_missing(req, err);
	json_auto_t *problem = problem_to_json(err, operation, errors ? errors : missing, more);
	int status = problem_kind(err->code)->status;
	bool text = accept_best(http_header(req, "Accept"), offered, ARRAY_SIZE(offered)) == 2;
	char *body = NULL;

	if (err->code == ERR_UNAVAILABLE)
		http_reply_header(req, "Retry-After", RETRY_AFTER_S);
	if (err->code == ERR_INTERNAL)
		log_fields(LOG_ERROR, err->msg, "method", req->method, "path",
			   req->uri.path ? req->uri.path : "", "operation",
			   operation ? operation : "", NULL);
	if (problem)
		body = text ? problem_to_text(problem) : json_text(problem);
	if (!body) {
		request_set_response(req, 500, NULL);
		return;
	}
	reply_owned(req, status, text ? "text/plain; charset=utf-8" : "application/problem+json",
		    body, strlen(body));
}

void http_reply_error(struct http_request *req, const struct error *err, const char *operation)
{
	reply_problem(req, err, operation, NULL, false);
}
