/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's headers to its handler. The order of the checks is the order in which a mistake
 * should be told: framing, target, site, route, method, rights, media type, size, parameters, body.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/http/accept.h"
#include "server/http/preview.h"
#include "server/http/static.h"

/* --- framing: what another server on the way might read differently --- */

struct header_scan {
	size_t bytes;
	uint64_t present; /* header_bit() of each */
	unsigned int hosts, lengths, encodings, authorizations;
	bool odd_encoding;
	bool has_nul;
	bool odd_name;
	enum length_fault length_fault; /* the worst of them */
};

/* A token of RFC 9110 section 5.6.2. With a space before the colon, for one, it is another name to
 * us than to a server on the way (RFC 9112 section 5.1). */
static bool is_field_name(const char *key, size_t len)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)key[i]) && (!key[i] || !strchr(others, key[i])))
			return false;
	return len > 0;
}

static bool names(const char *key, size_t len, const char *field)
{
	return len == strlen(field) && strcasecmp(key, field) == 0;
}

static enum MHD_Result scan_header(void *cls, enum MHD_ValueKind kind, const char *key,
				   size_t key_len, const char *value, size_t value_len)
{
	struct header_scan *s = cls;

	(void)kind;
	s->bytes += key_len + value_len + 4;
	s->present |= header_bit(key, key_len);
	s->odd_name |= !is_field_name(key, key_len);
	if (!value)
		return MHD_YES;
	s->has_nul |= strlen(key) != key_len || strlen(value) != value_len;
	if (names(key, key_len, "Host"))
		s->hosts++;
	else if (names(key, key_len, "Content-Length")) {
		enum length_fault fault = content_length_fault(value, value_len);

		s->lengths++;
		s->length_fault = fault > s->length_fault ? fault : s->length_fault;
	} else if (names(key, key_len, "Authorization"))
		s->authorizations++;
	else if (names(key, key_len, "Transfer-Encoding")) {
		s->encodings++;
		s->odd_encoding |= strcasecmp(value, "chunked") != 0;
	}
	return MHD_YES;
}

static int check_framing(struct http_request *req, struct header_scan *s, struct error *err)
{
	(void)MHD_get_connection_values_n(req->connection, MHD_HEADER_KIND, scan_header, s);
	req->absent = ~s->present;
	if (s->has_nul)
		return error_set(err, ERR_BAD_REQUEST, "a header has a NUL byte");
	if (s->odd_name)
		return error_set(
			err, ERR_BAD_REQUEST,
			"the name of a header field has characters that may not stand there");
	if (s->bytes > HEADER_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE,
				 "the headers have more than %d bytes, the most that is taken",
				 HEADER_BYTES_MAX);
	if (s->hosts == 0 && req->wants_host)
		return error_set(err, ERR_BAD_REQUEST, "a request of HTTP/1.1 needs a Host header");
	if (s->hosts > 1 || s->lengths > 1 || s->encodings > 1 || s->authorizations > 1)
		return error_set(err, ERR_BAD_REQUEST,
				 "a header that may stand once stands more often");
	if (s->length_fault == LENGTH_NO_NUMBER)
		return error_set(err, ERR_BAD_REQUEST, "Content-Length is no number of bytes");
	if (s->length_fault == LENGTH_TOO_LARGE)
		return error_set(err, ERR_TOO_LARGE, "Content-Length has more than %d digits",
				 CONTENT_LENGTH_DIGITS);
	if (s->lengths && s->encodings)
		return error_set(err, ERR_BAD_REQUEST,
				 "both Content-Length and Transfer-Encoding are given");
	if (s->odd_encoding)
		return error_set(err, ERR_BAD_REQUEST, "the only transfer encoding is chunked");
	return 0;
}

/* --- route --- */

static void allow_header(const struct http_request *req, char *buf, size_t size)
{
	size_t len = (size_t)snprintf(buf, size, "OPTIONS");

	for (unsigned int i = 0; i < METHOD_OPTIONS && len < size; i++) {
		if (!req->match.methods[i] || !req->match.methods[i]->handler)
			continue;
		len += (size_t)snprintf(buf + len, size - len, ", %s%s",
					i == METHOD_GET ? "HEAD, " : "",
					method_name((enum method)i));
	}
}

static int find_route(struct http_request *req, struct error *err)
{
	enum method method = method_parse(req->method);
	char allow[64];
	int r;

	if (req->uri_bad) {
		*err = req->uri_error;
		return error_to_errno(err);
	}
	r = route_find(req->server->document, &req->uri, &req->match);
	if (r == -EINVAL)
		return uri_refuse_bytes("the path", err);
	if (r < 0)
		return error_set(err, ERR_NOT_FOUND, "there is nothing at %.200s", req->uri.path);
	if (method < METHOD_MAX_)
		req->op = req->match.methods[method];
	if (req->op && req->op->handler)
		return !req->uri.query_bad || req->op->opaque
			       ? 0
			       : error_set(err, ERR_BAD_REQUEST,
					   "?%.64s: has characters that may not stand there",
					   req->uri.query_bad);
	req->op = NULL;
	allow_header(req, allow, sizeof(allow));
	http_reply_header(req, "Allow", allow);
	return error_set(err, ERR_METHOD, "%.200s does not know %.16s", req->uri.path, req->method);
}

/* --- body --- */

/* What curl -d says of everything is fine, but not from a browser: pages can send forms anywhere.
 */
static bool is_json_type(const char *type, bool browser)
{
	size_t n = strcspn(type, "; \t");

	if (!browser && n == 33 && !strncasecmp(type, "application/x-www-form-urlencoded", n))
		return true;
	if (n == 16 && !strncasecmp(type, "application/json", n))
		return true;
	return n > 17 && !strncasecmp(type, "application/", 12) &&
	       !strncasecmp(type + n - 5, "+json", 5);
}

static int check_body_headers(const struct http_request *req, const struct header_scan *s,
			      struct error *err)
{
	const struct operation *op = req->op;
	const char *length = http_header(req, "Content-Length");
	const char *type = http_header(req, "Content-Type");
	const char *encoding = http_header(req, "Content-Encoding");
	unsigned long long n = length ? strtoull(length, NULL, 10) : 0;
	/* An empty file is a file. */
	bool empty_stream = length && op->body == BODY_STREAM;
	bool has_body = n > 0 || s->encodings > 0 || empty_stream;

	if (!has_body && op->body_required)
		return error_set(err, ERR_BAD_REQUEST, "%s %s wants a body", req->method, op->path);
	if (!has_body)
		return 0;
	if (op->body == BODY_NONE)
		return error_set(err, ERR_BAD_REQUEST, "%s %s takes no body", req->method,
				 op->path);
	if (encoding && !op->opaque && strcasecmp(encoding, "identity") != 0)
		return error_set(err, ERR_MEDIA_TYPE, "Content-Encoding %.32s is not understood",
				 encoding);
	if (op->body == BODY_JSON && type && !is_json_type(type, req->by_cookie))
		return error_set(err, ERR_MEDIA_TYPE, "%.64s is not application/json", type);
	if (n > op->body_limit)
		return error_set(err, ERR_TOO_LARGE,
				 "the body has %llu bytes; at most %zu are taken", n,
				 op->body_limit);
	return 0;
}

static int check_accept(const struct http_request *req, struct error *err)
{
	static const char *const always[] = { "text/plain", "application/problem+json" };
	const char *accept = http_header(req, "Accept");
	char types[256];

	if (req->op->n_reply_types == 0 ||
	    accept_best(accept, req->op->reply_types, req->op->n_reply_types) >= 0 ||
	    accept_best(accept, always, ARRAY_SIZE(always)) >= 0)
		return 0;
	types[0] = '\0';
	for (size_t i = 0; i < req->op->n_reply_types; i++) {
		size_t len = strlen(types);

		(void)snprintf(types + len, sizeof(types) - len, "%s%s", i > 0 ? ", " : "",
			       req->op->reply_types[i]);
	}
	return error_set(err, ERR_NOT_ACCEPTABLE, "%s %s replies with %s", req->method,
			 req->op->path, types);
}

static int check_rate(struct http_request *req, struct error *err)
{
	char text[16];
	int wait_s = 0;

	if (req->op->method == METHOD_GET || !req->principal[0] ||
	    rates_take(&req->server->rates, req->principal, clock_mono_us(), &wait_s))
		return 0;
	(void)snprintf(text, sizeof(text), "%d", wait_s);
	http_reply_header(req, "Retry-After", text);
	return error_set(err, ERR_RATE, "more than %d changes a second", CHANGES_PER_S);
}

/* --- parameters --- */

/* True when something is wrong, and has been replied. */
static bool refuse_violations(struct http_request *req, struct violations *v, const char *what)
{
	struct error err = ERROR_INIT;

	if (v->count == 0)
		return false;
	(void)error_set(&err, ERR_INVALID, "%zu %s not acceptable", v->count, what);
	reply_problem(req, &err, NULL, v->list, v->count > VIOLATIONS_MAX);
	violations_done(v);
	return true;
}

static bool refuse_params(struct http_request *req)
{
	struct violations v = { 0 };

	params_check(req, &v);
	return refuse_violations(req, &v, v.count == 1 ? "parameter is" : "parameters are");
}

/* --- the three steps --- */

static int check_headers(struct http_request *req, struct error *err)
{
	struct header_scan scan = { 0 };
	int r = check_framing(req, &scan, err);

	if (r < 0) {
		req->close_after = true;
		return r;
	}
	r = preview_named(req) ? preview_enter(req, err) : auth_check_site(req, err);
	if (r == 0)
		r = find_route(req, err);
	if (r == 0)
		r = auth_check(req, req->op->scope, err);
	if (r == 0)
		r = check_rate(req, err);
	if (r == 0)
		r = check_accept(req, err);
	if (r == 0)
		r = check_body_headers(req, &scan, err);
	if (r == 0)
		r = prefer_read(req, err);
	return r;
}

bool intake_headers(struct http_request *req)
{
	struct error err = ERROR_INIT;

	if (check_headers(req, &err) < 0) {
		if (err.code == ERR_NOT_FOUND && !preview_named(req) && static_reply(req))
			return true;
		if (err.code == ERR_METHOD && streq(req->method, "OPTIONS")) {
			http_reply_empty(req, 204);
			return true;
		}
		if (err.code == ERR_UNAUTHENTICATED)
			http_reply_header(req, "WWW-Authenticate", "Bearer realm=\"banger\"");
		http_reply_error(req, &err, NULL);
		return true;
	}
	if (refuse_params(req))
		return true;
	buf_init(&req->body, req->op->body_limit);
	return false;
}

/* Of a body that nobody wants any more the end is awaited, within reason, so that the client reads
 * the reply instead of a reset. */
static bool discard(struct http_request *req, size_t *len)
{
	req->discarded += *len;
	*len = 0;
	return req->discarded <= DISCARD_MAX;
}

static void refuse_size(struct http_request *req)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_TOO_LARGE,
			"the body has more than %zu bytes, the most that is taken",
			req->op->body_limit);
	if (req->gone)
		req->gone(req->gone_data);
	http_reply_error(req, &err, NULL);
}

bool intake_body(struct http_request *req, const char *data, size_t *len)
{
	size_t taken = *len;

	if (req->response)
		return discard(req, len);
	if (*len > req->op->body_limit - req->body_seen) {
		refuse_size(req);
		return discard(req, len);
	}
	if (req->upload)
		taken = req->upload->data(req->upload_data, data, *len);
	else if (buf_append(&req->body, data, *len) < 0)
		return false;
	req->body_seen += taken;
	*len -= taken;
	if (*len > 0 && req->response)
		return discard(req, len);
	if (*len > 0)
		request_suspend(req);
	return true;
}

void http_upload_begin(struct http_request *req, const struct http_upload_callbacks *callbacks,
		       void *data)
{
	req->upload = callbacks;
	req->upload_data = data;
	http_on_gone(req, callbacks->gone, data);
	request_resume(req);
}

void http_upload_resume(struct http_request *req)
{
	request_resume(req);
}

/* Deepest nesting of a JSON text, without reading it as JSON. */
static unsigned int json_depth(const char *p, size_t len)
{
	unsigned int depth = 0;
	unsigned int deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				quoted = false;
		} else if (p[i] == '"') {
			quoted = true;
		} else if (p[i] == '[' || p[i] == '{') {
			depth++;
			if (depth > deepest)
				deepest = depth;
		} else if ((p[i] == ']' || p[i] == '}') && depth > 0) {
			depth--;
		}
	}
	return deepest;
}

static int parse_body(struct http_request *req, struct error *err)
{
	const char *data = (const char *)buf_bytes(&req->body);
	size_t len = buf_len(&req->body);

	if (len == 0 && !req->op->body_required)
		return 0;
	if (len == 0)
		return error_set(err, ERR_BAD_REQUEST, "%s %s wants a body", req->method,
				 req->op->path);
	if (json_depth(data, len) > JSON_DEPTH_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "the JSON is nested more than %d levels deep", JSON_DEPTH_MAX);
	req->json = json_parse(data, len, err);
	if (!req->json)
		return error_to_errno(err);
	req->json = json_make_whole(req->json);
	return 0;
}

void intake_run(struct http_request *req)
{
	buf_done(&req->body);
	req->op->handler->fn(req, req->server->config.context);
}

void intake_dispatch(struct http_request *req)
{
	struct violations v = { 0 };
	struct error err = ERROR_INIT;

	if (req->op->body == BODY_JSON) {
		if (parse_body(req, &err) < 0) {
			http_reply_error(req, &err, NULL);
			return;
		}
		if (req->json && !schema_validate(req->op->body_schema, req->json, &v) &&
		    refuse_violations(req, &v, v.count == 1 ? "value is" : "values are"))
			return;
	}
	if (gate_pass(req))
		intake_go_on(req);
}

void intake_go_on(struct http_request *req)
{
	if (!req->op->idempotent || replay_begin(req))
		intake_run(req);
}
