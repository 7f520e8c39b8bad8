/* SPDX-License-Identifier: Apache-2.0 */
/* `?fields=`: of each item of a list, or of the one resource, only what the client asks for. Which
 * fields there are is what the document says of the reply. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/http/internal.h"

enum { NAME_MAX_ = 64, DETAIL_MAX = 160, REMEDY_MAX = 512 };

/* The next of "id,name"; false after the last. */
static bool next_name(const char **at, char *name, size_t size)
{
	size_t len = strcspn(*at, ",");

	if (!**at)
		return false;
	(void)snprintf(name, size, "%.*s", (int)len, *at);
	*at += len;
	*at += **at == ',';
	return true;
}

static void list_known(const json_t *fields, char *buf, size_t size)
{
	size_t len = (size_t)snprintf(buf, size, "Known fields:");
	const char *separator = "";
	const char *name;
	json_t *schema;

	json_object_foreach ((json_t *)(uintptr_t)fields, name, schema) {
		if (len >= size)
			return;
		len += (size_t)snprintf(buf + len, size - len, "%s %s", separator, name);
		separator = ",";
	}
}

void fields_check(const struct http_request *req, struct violations *v)
{
	const char *at = http_query(req, "fields");
	char name[NAME_MAX_];
	char detail[DETAIL_MAX];
	char remedy[REMEDY_MAX];

	while (at && req->op->fields && next_name(&at, name, sizeof(name))) {
		if (json_object_get(req->op->fields, name))
			continue;
		(void)snprintf(detail, sizeof(detail), "there is no field %s", name);
		list_known(req->op->fields, remedy, sizeof(remedy));
		violations_add(v, "", detail, remedy);
	}
}

static json_t *pick(const json_t *object, const char *fields)
{
	json_t *picked = json_object();
	char name[NAME_MAX_];

	while (next_name(&fields, name, sizeof(name))) {
		json_t *value = json_object_get(object, name);

		if (value)
			(void)json_object_set(picked, name, value);
	}
	return picked;
}

json_t *http_pick_fields(const struct http_request *req, json_t *body)
{
	const char *fields = req->op && req->op->fields ? http_query(req, "fields") : NULL;
	json_t *items = json_object_get(body, "items");
	json_t *picked;
	json_t *item;
	size_t i;

	if (!fields || !body)
		return body;
	if (!items) {
		picked = pick(body, fields);
		json_decref(body);
		return picked;
	}
	json_array_foreach (items, i, item)
		(void)json_array_set_new(items, i, pick(item, fields));
	return body;
}
