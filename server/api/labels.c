/* SPDX-License-Identifier: Apache-2.0 */
/* `?label=` and `?label_prefix=`, wherever something has labels. */
#include <stdint.h>
#include <stdio.h>

#include "server/api/handlers.h"

/* `key=value` or `key`. */
static bool matches(const json_t *labels, const char *wanted)
{
	const char *eq = strchr(wanted, '=');
	const json_t *value;
	char key[128];

	(void)snprintf(key, sizeof(key), "%.*s", eq ? (int)(eq - wanted) : (int)strlen(wanted),
		       wanted);
	value = json_object_get(labels, key);
	return value && (!eq || streq(json_string_value(value), eq + 1));
}

/* `key=beginning of the value`, or the beginning of a key. */
static bool has_prefix(const json_t *labels, const char *wanted)
{
	const char *eq = strchr(wanted, '=');
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		if (!eq && str_has_prefix(key, wanted))
			return true;
		if (eq && strlen(key) == (size_t)(eq - wanted) &&
		    strncmp(key, wanted, strlen(key)) == 0 &&
		    str_has_prefix(json_string_value(value), eq + 1))
			return true;
	}
	return false;
}

bool api_labels_match(const struct http_request *req, const json_t *labels)
{
	const char *label;
	size_t at = 0;

	while ((label = http_query_next(req, "label", &at)) != NULL)
		if (!matches(labels, label))
			return false;
	label = http_query(req, "label_prefix");
	return !label || has_prefix(labels, label);
}
