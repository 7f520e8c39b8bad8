/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of path segments. A literal goes before a parameter; a parameter that takes the rest of
 * the path comes last, may have bytes of any kind, and also stands for nothing behind the last
 * slash. There is no backtracking: /vms/{vm}/exec and /vms/list/x would be two branches.
 */
#include "server/http/router.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

struct route {
	char *literal; /* NULL for a parameter */
	bool rest;
	struct route **children;
	size_t n_children;
	struct route *parameter;
	const struct operation *methods[METHOD_MAX_];
};

static const char *const method_names[] = {
	[METHOD_GET] = "GET",       [METHOD_PUT] = "PUT",     [METHOD_POST] = "POST",
	[METHOD_DELETE] = "DELETE", [METHOD_PATCH] = "PATCH", [METHOD_OPTIONS] = "OPTIONS",
};
static_assert(ARRAY_SIZE(method_names) == METHOD_MAX_, "every method has a name");

const char *method_name(enum method method)
{
	return method_names[method];
}

enum method method_parse(const char *name)
{
	if (streq(name, "HEAD"))
		return METHOD_GET;
	for (unsigned int i = 0; i < METHOD_MAX_; i++)
		if (streq(name, method_names[i]))
			return (enum method)i;
	return METHOD_MAX_;
}

int route_new(struct route **ret_route)
{
	struct route *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*ret_route = r;
	return 0;
}

/* As deep as the longest path of the document. */
void route_free(struct route *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_children; i++)
		route_free(r->children[i]);
	route_free(r->parameter);
	free(r->children);
	free(r->literal);
	free(r);
}

static struct route *child_of(const struct route *r, const char *segment)
{
	for (size_t i = 0; i < r->n_children; i++)
		if (r->children[i]->literal[0] == segment[0] &&
		    streq(r->children[i]->literal, segment))
			return r->children[i];
	return NULL;
}

static int add_child(struct route *r, const char *literal, size_t len, struct route **ret_child)
{
	struct route **bigger;
	struct route *child = NULL;

	bigger = reallocarray(r->children, r->n_children + 1, sizeof(struct route *));
	if (!bigger)
		return -ENOMEM;
	r->children = bigger;
	if (route_new(&child) < 0)
		return -ENOMEM;
	child->literal = strndup(literal, len);
	if (!child->literal) {
		route_free(child);
		return -ENOMEM;
	}
	r->children[r->n_children++] = child;
	*ret_child = child;
	return 0;
}

static int step_down(struct route **at, const char *segment, size_t len, bool rest)
{
	struct route *r = *at;

	if (segment[0] == '{') {
		if (!r->parameter && route_new(&r->parameter) < 0)
			return -ENOMEM;
		r->parameter->rest |= rest;
		*at = r->parameter;
		return 0;
	}
	for (size_t i = 0; i < r->n_children; i++) {
		struct route *child = r->children[i];

		if (strlen(child->literal) == len && !strncmp(child->literal, segment, len)) {
			*at = child;
			return 0;
		}
	}
	return add_child(r, segment, len, at);
}

int route_add(struct route *root, const struct operation *op)
{
	const char *p = op->path;
	bool rest = false;

	for (size_t i = 0; i < op->n_params; i++)
		rest |= op->params[i].rest;
	while (*p == '/' && p[1]) {
		const char *end = strchrnul(p + 1, '/');
		int r = step_down(&root, p + 1, (size_t)(end - p - 1), rest && *end == '\0');

		if (r < 0)
			return r;
		p = end;
	}
	if (root->methods[op->method])
		return -EEXIST;
	root->methods[op->method] = op;
	return 0;
}

static bool has_methods(const struct route *r)
{
	for (unsigned int i = 0; i < METHOD_MAX_; i++)
		if (r->methods[i] && r->methods[i]->handler)
			return true;
	return false;
}

static int take_rest(const struct uri *uri, size_t from, struct route_match *m)
{
	autofree char *rest = strdup(uri->rest[from]);

	if (!rest)
		return -ENOMEM;
	if (uri_decode(rest, false) < 0)
		return -EINVAL;
	m->rest = TAKE_PTR(rest);
	m->values[m->n_values++] = m->rest;
	return 0;
}

int route_find(const struct document *document, const struct uri *uri,
	       struct route_match *ret_match)
{
	const struct route *at = document->routes;
	struct route_match m = { 0 };

	for (size_t i = 0; i < uri->n_segments; i++) {
		const char *segment = uri->segments[i];
		const struct route *next = child_of(at, segment);

		if (next) {
			at = next;
			continue;
		}
		at = at->parameter;
		if (!at || segment[0] == '\0' || m.n_values == PATH_PARAMS_MAX)
			return -ENOENT;
		if (at->rest) {
			int r = take_rest(uri, i, &m);

			if (r < 0)
				return r;
			break;
		}
		if (i >= uri->n_text)
			return -EINVAL;
		m.values[m.n_values++] = segment;
	}
	if (!m.rest && at->parameter && at->parameter->rest && m.n_values < PATH_PARAMS_MAX &&
	    !has_methods(at)) {
		m.values[m.n_values++] = "";
		at = at->parameter;
	}
	m.methods = at->methods;
	if (has_methods(at)) {
		*ret_match = m;
		return 0;
	}
	free(m.rest);
	return -ENOENT;
}
