/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenAPI document as the server uses it: operations with compiled schemas, and the router that
 * is made from their paths. Immutable after document_load().
 */
#pragma once

#include <jansson.h>

#include "server/http/http.h"
#include "server/http/schema.h"
#include "server/http/uri.h"

enum method {
	METHOD_GET,
	METHOD_PUT,
	METHOD_POST,
	METHOD_DELETE,
	METHOD_PATCH,
	METHOD_OPTIONS,
	METHOD_MAX_
};
enum param_in { PARAM_PATH, PARAM_QUERY, PARAM_HEADER, PARAM_IN_MAX_ };
enum body_kind { BODY_NONE, BODY_JSON, BODY_STREAM };

enum { BODY_LIMIT_DEFAULT = 1024 * 1024, PATH_PARAMS_MAX = 6 };

struct param {
	const char *name;
	enum param_in in;
	bool required;
	bool rest; /* takes the rest of the path, which may be nothing */
	const struct schema *schema;
};

struct reply_schema {
	int status; /* 0: any other one */
	const char *type;
	const struct schema *schema;
};

struct operation {
	const char *id;
	enum method method;
	const char *path;
	enum http_scope scope;
	enum body_kind body;
	bool body_required;
	size_t body_limit;
	const struct schema *body_schema; /* of a JSON body */
	struct param *params;
	size_t n_params;
	bool idempotent;          /* heeds Idempotency-Key */
	bool takes_ticket;        /* `ticket` in its query says who asks */
	bool picks_fields;        /* takes `fields` */
	bool secret;              /* the reply is for the caller alone: it is never stored */
	bool no_store;            /* writes nothing of the server's own */
	bool rerun;               /* may be run again after a try without a reply */
	bool opaque;              /* query and content coding are for somebody behind this server */
	const char **reply_types; /* of successful replies, the preferred one first */
	size_t n_reply_types;
	struct reply_schema *replies; /* of JSON replies; only where replies are checked */
	size_t n_replies;
	json_t *fields; /* what `?fields=` may name: properties of what is replied; or NULL */
	const struct http_handler *handler;
};

struct route; /* a node of the router */

struct document {
	json_t *root; /* while it is read */
	struct schema_set *schemas;
	struct operation *operations;
	size_t n_operations;
	struct route *routes;
};

/* Parses and compiles; a mistake in the document is an error that says where. */
int document_load(const char *json, size_t len, struct document **ret_document,
		  struct error *err) MUST_USE;
void document_free(struct document *document);

/* Gives operations their handlers, which the document borrows. Each must exist, and have none yet.
 */
int document_bind(struct document *document, const struct http_handler *handlers, size_t n,
		  struct error *err) MUST_USE;
/* Fails when an operation has no handler. */
int document_check_bound(const struct document *document, struct error *err) MUST_USE;

struct route_match {
	const struct operation *const *methods; /* METHOD_MAX_ of them, NULL where there is none */
	const char *values[PATH_PARAMS_MAX];    /* of the path parameters, in order of the path */
	size_t n_values;
	char *rest; /* owned: the decoded rest of the path; NULL without */
};

/* 0, or -ENOENT; -EINVAL where a parameter is no text and can't be bytes of any kind.
 * free(match->rest) after. */
int route_find(const struct document *document, const struct uri *uri,
	       struct route_match *ret_match) MUST_USE;

const char *method_name(enum method method);
/* METHOD_MAX_ for one that no operation can have. HEAD counts as GET. */
enum method method_parse(const char *name);
