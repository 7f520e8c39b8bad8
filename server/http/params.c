/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a request against the document. What is good of a target once is good of it always:
 * the latest good ones are known, and whoever asks for the same again is not held up.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "server/http/internal.h"

enum { REMEDY_MAX = 512 };

static const char *const in_names[] = {
	[PARAM_PATH] = "path",
	[PARAM_QUERY] = "query",
	[PARAM_HEADER] = "header",
};

/* Turns what has been added since `from` into errors of a parameter. */
static void name_parameter(struct violations *v, size_t from, const struct param *p)
{
	for (size_t i = from; i < json_array_size(v->list); i++) {
		json_t *entry = json_array_get(v->list, i);

		(void)json_object_del(entry, "pointer");
		(void)json_object_set_new(entry, "in", json_string(in_names[p->in]));
		(void)json_object_set_new(entry, "parameter", json_string(p->name));
	}
}

static json_t *query_value(const struct http_request *req, const struct param *p)
{
	size_t at = 0;
	const char *text;
	json_t *all;

	if (!schema_is_array(p->schema)) {
		text = uri_query(&req->uri, p->name);
		return text ? schema_parse_text(p->schema, text) : NULL;
	}
	all = json_array();
	while ((text = http_query_next(req, p->name, &at)) != NULL)
		(void)json_array_append_new(all, schema_parse_text(schema_items(p->schema), text));
	if (json_array_size(all) > 0)
		return all;
	json_decref(all);
	return NULL;
}

static void check_param(const struct http_request *req, size_t index, struct violations *v)
{
	const struct param *p = &req->op->params[index];
	json_auto_t *value = NULL;
	const char *text = NULL;
	size_t from = json_array_size(v->list);

	if (p->in == PARAM_QUERY)
		value = query_value(req, p);
	else if (p->in == PARAM_PATH)
		text = req->match.values[index];
	else
		text = http_header(req, p->name);
	if (text && schema_is_short_text(p->schema, text))
		return;
	if (text)
		value = schema_parse_text(p->schema, text);
	if (text && !value && p->rest)
		return; /* bytes of any kind; the request target's limit is theirs */
	if (text && !value) {
		violations_add(v, "", "must be UTF-8 text", NULL);
	} else if (value) {
		if (schema_validate(p->schema, value, v) && streq(p->name, "fields"))
			fields_check(req, v);
	} else if (p->required) {
		violations_add(v, "", "is required", NULL);
	}
	name_parameter(v, from, p);
}

/* Tells an unknown one apart from those that there are. */
static void refuse_query_name(const struct operation *op, struct violations *v)
{
	char remedy[REMEDY_MAX] = "It takes no parameters.";
	size_t len = 0;

	for (size_t k = 0; k < op->n_params && len < sizeof(remedy); k++)
		if (op->params[k].in == PARAM_QUERY)
			len += (size_t)snprintf(
				remedy + len, sizeof(remedy) - len, "%s %s",
				len ? "," : "Known parameters:", op->params[k].name);
	if (len > 0 && len + 1 < sizeof(remedy))
		(void)snprintf(remedy + len, sizeof(remedy) - len, ".");
	violations_add(v, "", "there is no such parameter", remedy);
}

static void check_query_names(const struct http_request *req, struct violations *v)
{
	for (size_t i = 0; i < req->uri.n_query; i++) {
		struct param unknown = { .name = req->uri.query[i].name, .in = PARAM_QUERY };
		size_t from = json_array_size(v->list);
		const struct param *known = NULL;

		for (size_t k = 0; k < req->op->n_params && !known; k++)
			if (req->op->params[k].in == PARAM_QUERY &&
			    streq(req->op->params[k].name, unknown.name))
				known = &req->op->params[k];
		if (!known) {
			refuse_query_name(req->op, v);
			name_parameter(v, from, &unknown);
			continue;
		}
		for (size_t k = 0; k < i && !schema_is_array(known->schema); k++) {
			if (!streq(req->uri.query[k].name, unknown.name))
				continue;
			violations_add(v, "", "is given more than once", NULL);
			name_parameter(v, from, known);
			break;
		}
	}
}

/* --- targets that are known --- */

static struct good_target *place_of(const struct http_request *req)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (const char *p = req->uri.target; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619U;
	return &req->server->good_targets[hash % GOOD_TARGETS];
}

static void remember(const struct http_request *req, struct good_target *place)
{
	if (strlen(req->uri.target) > GOOD_TARGET_MAX)
		return;
	free(place->target);
	place->target = strdup(req->uri.target);
	place->op = place->target ? req->op : NULL;
}

void params_forget(struct http_server *server)
{
	for (size_t i = 0; i < GOOD_TARGETS; i++) {
		free(server->good_targets[i].target);
		server->good_targets[i] = (struct good_target){ 0 };
	}
}

void params_check(struct http_request *req, struct violations *v)
{
	struct good_target *place = place_of(req);
	bool known = place->op == req->op && streq(place->target, req->uri.target);

	for (size_t i = 0; i < req->op->n_params; i++)
		if (!known || req->op->params[i].in == PARAM_HEADER)
			check_param(req, i, v);
	if (!known && !req->op->opaque)
		check_query_names(req, v);
	if (!known && v->count == 0)
		remember(req, place);
}

/* "/vms/{vm}/holds" for "hold" of "/vms/{vm}/holds/{hold}", where a GET of that lists them. */
static const char *listing_of(const struct http_request *req, const struct param *p, char *buf,
			      size_t size)
{
	const struct document *document = req->server->document;
	size_t len = strlen(p->name);
	const char *at = req->op->path;

	while ((at = strstr(at, "/{")) != NULL) {
		if (strncmp(at + 2, p->name, len) == 0 && at[2 + len] == '}')
			break;
		at += 2;
	}
	if (!at ||
	    (size_t)snprintf(buf, size, "%.*s", (int)(at - req->op->path), req->op->path) >= size)
		return NULL;
	for (size_t i = 0; i < document->n_operations; i++)
		if (document->operations[i].method == METHOD_GET &&
		    streq(document->operations[i].path, buf))
			return buf;
	return NULL;
}

json_t *params_missing(const struct http_request *req, const struct error *err)
{
	const struct param *p = NULL;
	char list[128];
	char remedy[192];
	json_t *entry;

	if (err->code != ERR_NOT_FOUND || !req->op || strchr("/?", err->msg[0]))
		return NULL;
	/* The last one whose value the message has. */
	for (size_t i = 0; i < req->match.n_values; i++)
		if (req->match.values[i][0] && strstr(err->msg, req->match.values[i]))
			p = &req->op->params[i];
	if (!p)
		return NULL;
	entry = json_pack("{s:s, s:s, s:s}", "detail", "names nothing that there is", "in", "path",
			  "parameter", p->name);
	if (listing_of(req, p, list, sizeof(list))) {
		(void)snprintf(remedy, sizeof(remedy), "GET %s lists what there is.", list);
		(void)json_object_set_new(entry, "remedy", json_string(remedy));
	}
	return json_pack("[o]", entry);
}
