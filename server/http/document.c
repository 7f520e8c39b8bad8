/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/document.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/router.h"

static json_t *resolve(const struct document *d, json_t *node)
{
	const char *target = json_string_value(json_object_get(node, "$ref"));
	json_t *at = d->root;
	autofree char *path = NULL;
	char *save = NULL;

	if (!target)
		return node;
	path = str_has_prefix(target, "#/") ? strdup(target + 2) : NULL;
	if (!path)
		return NULL;
	for (char *step = strtok_r(path, "/", &save); step; step = strtok_r(NULL, "/", &save))
		at = json_object_get(at, step);
	return at;
}

static int fail(const struct operation *op, struct error *err, const char *what)
{
	return error_set(err, ERR_INTERNAL, "OpenAPI document: %s: %s", op->id ? op->id : op->path,
			 what);
}

/* --- parameters --- */

static int read_param(struct document *d, struct operation *op, json_t *node, struct error *err)
{
	static const char *const ins[] = {
		[PARAM_PATH] = "path",
		[PARAM_QUERY] = "query",
		[PARAM_HEADER] = "header",
	};
	struct param *p = &op->params[op->n_params];
	const char *in;
	char where[128];

	node = resolve(d, node);
	p->name = schema_keep_text(d->schemas, json_string_value(json_object_get(node, "name")));
	in = json_string_value(json_object_get(node, "in"));
	p->required = json_is_true(json_object_get(node, "required"));
	p->rest = json_is_true(json_object_get(node, "x-banger-rest"));
	p->in = PARAM_IN_MAX_;
	for (unsigned int i = 0; in && i < ARRAY_SIZE(ins); i++)
		if (streq(in, ins[i]))
			p->in = (enum param_in)i;
	if (!p->name || p->in == PARAM_IN_MAX_)
		return fail(op, err, "a parameter without a name or a known place");
	(void)snprintf(where, sizeof(where), "%s/parameters/%s", op->id, p->name);
	op->n_params++;
	op->idempotent |= p->in == PARAM_HEADER && streq(p->name, "Idempotency-Key");
	op->picks_fields |= p->in == PARAM_QUERY && streq(p->name, "fields");
	op->takes_ticket |=
		op->scope != HTTP_SCOPE_NONE && p->in == PARAM_QUERY && streq(p->name, "ticket");
	return schema_compile(d->schemas, json_object_get(node, "schema"), where, &p->schema, err);
}

static int read_params(struct document *d, struct operation *op, const json_t *shared,
		       const json_t *own, struct error *err)
{
	const json_t *lists[] = { shared, own };
	size_t i;
	json_t *node;

	op->params =
		calloc(json_array_size(shared) + json_array_size(own) + 1, sizeof(*op->params));
	if (!op->params)
		return error_errno(err, -ENOMEM, "OpenAPI document");
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach (lists[k], i, node) {
			int r = read_param(d, op, node, err);

			if (r < 0)
				return r;
		}
	return 0;
}

/* Path parameters are put first, in the order of the path, as route_find() gives their values. */
static int order_path_params(struct operation *op, struct error *err)
{
	size_t n = 0;

	for (const char *p = strchr(op->path, '{'); p; p = strchr(p + 1, '{')) {
		size_t len = strcspn(p + 1, "}");
		size_t i = n;

		while (i < op->n_params &&
		       (op->params[i].in != PARAM_PATH || strlen(op->params[i].name) != len ||
			strncmp(op->params[i].name, p + 1, len) != 0))
			i++;
		if (i == op->n_params || n == PATH_PARAMS_MAX)
			return fail(op, err, "a path parameter is not described");
		struct param swap = op->params[n];

		op->params[n++] = op->params[i];
		op->params[i] = swap;
	}
	for (size_t i = n; i < op->n_params; i++)
		if (op->params[i].in == PARAM_PATH)
			return fail(op, err, "describes a parameter that its path does not have");
	return 0;
}

/* --- body and replies --- */

static int read_body(struct document *d, struct operation *op, const json_t *node,
		     struct error *err)
{
	json_t *body = resolve(d, json_object_get(node, "requestBody"));
	const json_t *limit = json_object_get(node, "x-banger-body-limit");
	const json_t *content = json_object_get(body, "content");
	const json_t *json = json_object_get(content, "application/json");
	char where[128];

	op->body_limit =
		json_is_integer(limit) ? (size_t)json_integer_value(limit) : BODY_LIMIT_DEFAULT;
	if (!body)
		return 0;
	op->body_required = json_is_true(json_object_get(body, "required"));
	if (!json) {
		op->body = BODY_STREAM;
		return 0;
	}
	op->body = BODY_JSON;
	(void)snprintf(where, sizeof(where), "%s/requestBody", op->id);
	return schema_compile(d->schemas, json_object_get(json, "schema"), where, &op->body_schema,
			      err);
}

static int add_reply_types(struct document *d, struct operation *op, const json_t *content)
{
	const char *type;
	json_t *node;

	json_object_foreach ((json_t *)(uintptr_t)content, type, node) {
		const char **bigger;
		bool known = false;

		for (size_t i = 0; i < op->n_reply_types; i++)
			known |= streq(op->reply_types[i], type);
		if (known)
			continue;
		bigger = reallocarray(op->reply_types, op->n_reply_types + 1, sizeof(char *));
		if (!bigger)
			return -ENOMEM;
		op->reply_types = bigger;
		op->reply_types[op->n_reply_types] = schema_keep_text(d->schemas, type);
		if (!op->reply_types[op->n_reply_types])
			return -ENOMEM;
		op->n_reply_types++;
	}
	return 0;
}

static int read_replies(struct document *d, struct operation *op, const json_t *node,
			struct error *err)
{
	const json_t *responses = json_object_get(node, "responses");
	const char *status;
	json_t *reply;

	if (!json_object_get(responses, "default"))
		return fail(op, err, "has no default response");
	json_object_foreach ((json_t *)(uintptr_t)responses, status, reply) {
		if (status[0] != '2')
			continue;
		if (add_reply_types(d, op, json_object_get(resolve(d, reply), "content")) < 0)
			return error_errno(err, -ENOMEM, "OpenAPI document");
	}
	return 0;
}

#ifdef BANGER_CHECK_REPLIES
static int read_reply_schemas(struct document *d, struct operation *op, const json_t *node,
			      struct error *err)
{
	const json_t *responses = json_object_get(node, "responses");
	const char *status;
	json_t *reply;

	json_object_foreach ((json_t *)(uintptr_t)responses, status, reply) {
		json_t *content = json_object_get(resolve(d, reply), "content");
		const char *type;
		json_t *media;

		json_object_foreach (content, type, media) {
			struct reply_schema *bigger;
			struct reply_schema *one;
			char where[128];
			int r;

			if (!strstr(type, "json") || strstr(type, "ndjson"))
				continue;
			bigger = reallocarray(op->replies, op->n_replies + 1, sizeof(*bigger));
			if (!bigger)
				return error_errno(err, -ENOMEM, "OpenAPI document");
			op->replies = bigger;
			one = &bigger[op->n_replies];
			one->status = (int)strtol(status, NULL, 10);
			one->type = schema_keep_text(d->schemas, type);
			if (!one->type)
				return error_errno(err, -ENOMEM, "OpenAPI document");
			(void)snprintf(where, sizeof(where), "%s/responses/%s", op->id, status);
			r = schema_compile(d->schemas, json_object_get(media, "schema"), where,
					   &one->schema, err);
			if (r < 0)
				return r;
			op->n_replies++;
		}
	}
	return 0;
}
#endif

/* The names of the properties of a list's items, or of the one resource. */
static int read_fields(struct document *d, struct operation *op, const json_t *node,
		       struct error *err)
{
	json_t *reply = resolve(d, json_object_get(json_object_get(node, "responses"), "200"));
	json_t *content = json_object_get(json_object_get(reply, "content"), "application/json");
	json_t *schema = resolve(d, json_object_get(content, "schema"));
	json_t *items = json_object_get(json_object_get(schema, "properties"), "items");
	json_t *properties;
	const char *name;
	json_t *value;

	if (!op->picks_fields)
		return 0;
	if (items)
		schema = resolve(d, json_object_get(items, "items"));
	properties = json_object_get(schema, "properties");
	if (!properties)
		return fail(op, err, "takes `fields`, but replies with no known ones");
	op->fields = json_object();
	json_object_foreach (properties, name, value)
		if (json_object_set_new(op->fields, name, json_null()) < 0)
			return error_errno(err, -ENOMEM, "OpenAPI document");
	return 0;
}

static int read_scope(struct operation *op, const json_t *node, struct error *err)
{
	static const char *const scopes[] = {
		[HTTP_SCOPE_NONE] = "none",
		[HTTP_SCOPE_READ] = "read",
		[HTTP_SCOPE_RUN] = "run",
		[HTTP_SCOPE_ADMIN] = "admin",
	};
	const char *scope = json_string_value(json_object_get(node, "x-banger-scope"));

	for (unsigned int i = 0; scope && i < ARRAY_SIZE(scopes); i++) {
		if (!streq(scope, scopes[i]))
			continue;
		op->scope = (enum http_scope)i;
		return 0;
	}
	return fail(op, err, "x-banger-scope must be none, read, run or admin");
}

/* --- all of it --- */

static int read_operation(struct document *d, struct operation *op, const json_t *item,
			  const json_t *node, struct error *err)
{
	const char *retry;
	int r;

	op->id = schema_keep_text(d->schemas,
				  json_string_value(json_object_get(node, "operationId")));
	if (!op->id)
		return fail(op, err, "has no operationId");
	retry = json_string_value(json_object_get(node, "x-banger-retry"));
	op->rerun = retry && streq(retry, "rerun");
	op->secret = retry && streq(retry, "secret");
	op->no_store = json_is_false(json_object_get(node, "x-banger-store"));
	op->opaque = json_is_true(json_object_get(node, "x-banger-opaque"));
	r = read_scope(op, node, err);
	if (r == 0)
		r = read_params(d, op, json_object_get(item, "parameters"),
				json_object_get(node, "parameters"), err);
	if (r == 0)
		r = order_path_params(op, err);
	if (r == 0)
		r = read_body(d, op, node, err);
	if (r == 0)
		r = read_replies(d, op, node, err);
	if (r == 0)
		r = read_fields(d, op, node, err);
#ifdef BANGER_CHECK_REPLIES
	if (r == 0)
		r = read_reply_schemas(d, op, node, err);
#endif
	return r;
}

static int read_path(struct document *d, const char *path, const json_t *item, struct error *err)
{
	static const char *const keys[] = {
		[METHOD_GET] = "get",       [METHOD_PUT] = "put",     [METHOD_POST] = "post",
		[METHOD_DELETE] = "delete", [METHOD_PATCH] = "patch", [METHOD_OPTIONS] = "options",
	};

	for (unsigned int m = 0; m < METHOD_MAX_; m++) {
		const json_t *node = json_object_get(item, keys[m]);
		struct operation *op = &d->operations[d->n_operations];
		int r;

		if (!node)
			continue;
		d->n_operations++;
		op->method = (enum method)m;
		op->path = schema_keep_text(d->schemas, path);
		if (!op->path)
			return error_errno(err, -ENOMEM, "OpenAPI document");
		r = read_operation(d, op, item, node, err);
		if (r == 0) {
			r = route_add(d->routes, op);
			if (r < 0)
				return error_errno(err, r, "OpenAPI document: %s", op->id);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int load(struct document *d, struct error *err)
{
	const json_t *paths = json_object_get(d->root, "paths");
	const char *path;
	json_t *item;
	int r;

	d->operations = calloc(json_object_size(paths) * METHOD_MAX_ + 1, sizeof(*d->operations));
	if (!d->operations || route_new(&d->routes) < 0)
		return error_errno(err, -ENOMEM, "OpenAPI document");
	r = schema_set_new(d->root, &d->schemas);
	if (r < 0)
		return error_errno(err, r, "OpenAPI document");
	json_object_foreach ((json_t *)(uintptr_t)paths, path, item) {
		r = read_path(d, path, item, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int document_load(const char *json, size_t len, struct document **ret_document, struct error *err)
{
	struct document *d = calloc(1, sizeof(*d));
	json_error_t je;
	int r;

	if (!d)
		return error_errno(err, -ENOMEM, "OpenAPI document");
	d->root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &je);
	if (!d->root)
		r = error_set(err, ERR_INTERNAL, "OpenAPI document: line %d: %s", je.line, je.text);
	else
		r = load(d, err);
	/* What is needed of it has been taken: it is most of an idle server's memory. */
	json_decref(TAKE_PTR(d->root));
	if (r < 0) {
		document_free(d);
		return r;
	}
	*ret_document = d;
	return 0;
}

void document_free(struct document *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_operations; i++) {
		free(d->operations[i].params);
		free(d->operations[i].reply_types);
		free(d->operations[i].replies);
		json_decref(d->operations[i].fields);
	}
	free(d->operations);
	route_free(d->routes);
	schema_set_free(d->schemas);
	free(d);
}

static struct operation *find_operation(struct document *d, const char *id)
{
	for (size_t i = 0; i < d->n_operations; i++)
		if (streq(d->operations[i].id, id))
			return &d->operations[i];
	return NULL;
}

int document_bind(struct document *d, const struct http_handler *handlers, size_t n,
		  struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct operation *op = find_operation(d, handlers[i].operation_id);

		if (!op)
			return error_set(err, ERR_INTERNAL,
					 "handler %s: the OpenAPI document has no such operation",
					 handlers[i].operation_id);
		if (op->handler)
			return error_set(err, ERR_INTERNAL, "operation %s has two handlers",
					 op->id);
		op->handler = &handlers[i];
	}
	return 0;
}

int document_check_bound(const struct document *d, struct error *err)
{
	for (size_t i = 0; i < d->n_operations; i++)
		if (!d->operations[i].handler)
			return error_set(err, ERR_INTERNAL, "operation %s has no handler",
					 d->operations[i].id);
	return 0;
}
