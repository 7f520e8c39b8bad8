/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses an operation, the rest is its body: validation ends, says the same twice,
 * and gives reasons exactly when it refuses. */
#include <assert.h>
#include <string.h>

#include "lib/json/json.h"
#include "server/http/document.h"
#include "server/http/embedded.h"
#include "tests/fuzz/fuzz.h"

static const struct document *the_document(void)
{
	static struct document *document;
	const struct embedded text = embedded_openapi_json();
	struct error err;

	if (!document) {
		int r = document_load(text.data, text.len, &document, &err);

		assert(r == 0);
	}
	return document;
}

static const struct schema *schema_of(uint8_t pick)
{
	const struct document *d = the_document();

	for (size_t i = 0; i < d->n_operations; i++) {
		const struct operation *op = &d->operations[(i + pick) % d->n_operations];

		if (op->body_schema)
			return op->body_schema;
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct violations first = { 0 };
	struct violations second = { 0 };
	const struct schema *schema;
	struct error err;
	json_t *body;
	size_t i;
	json_t *one;

	if (size < 1)
		return 0;
	schema = schema_of(data[0]);
	body = json_parse((const char *)data + 1, size - 1, &err);
	if (!schema || !body) {
		json_decref(body);
		return 0;
	}
	if (schema_validate(schema, body, &first))
		assert(first.count == 0);
	else
		assert(first.count > 0 && json_array_size(first.list) > 0);
	assert(schema_validate(schema, body, &second) == (first.count == 0));
	assert(first.count == second.count && json_array_size(first.list) <= VIOLATIONS_MAX);
	json_array_foreach (first.list, i, one) {
		const char *pointer = json_string_value(json_object_get(one, "pointer"));

		assert(pointer && (pointer[0] == '\0' || pointer[0] == '/'));
		assert(json_string_value(json_object_get(one, "detail")));
	}
	violations_done(&first);
	violations_done(&second);
	json_decref(body);
	return 0;
}
