/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/embedded.h"
#include "tests/unit/test.h"

static void nothing(struct http_request *req, void *context)
{
	(void)req;
	(void)context;
}

static struct document *load_embedded(void)
{
	const struct embedded e = embedded_openapi_rules();
	struct error err = ERROR_INIT;
	struct document *d = NULL;

	if (document_load(e.data, e.len, &d, &err) < 0)
		fail_msg("%s", err.msg);
	return d;
}

static void bind_all(struct document *d, struct http_handler *handlers)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < d->n_operations; i++)
		handlers[i] = (struct http_handler){ d->operations[i].id, nothing };
	assert_int_equal(document_bind(d, handlers, d->n_operations, &err), 0);
	assert_int_equal(document_check_bound(d, &err), 0);
}

/* Every operation is found again under its own path, with its parameters in order. */
static void test_embedded_routes(void **state)
{
	struct document *d = load_embedded();
	struct http_handler *handlers = calloc(d->n_operations, sizeof(*handlers));

	(void)state;
	bind_all(d, handlers);
	for (size_t i = 0; i < d->n_operations; i++) {
		const struct operation *op = &d->operations[i];
		struct error err = ERROR_INIT;
		struct route_match m;
		struct uri uri;

		assert_int_equal(uri_parse(op->path, &uri, &err), 0);
		assert_int_equal(route_find(d, &uri, &m), 0);
		assert_ptr_equal(m.methods[op->method], op);
		for (size_t k = 0; k < m.n_values; k++)
			assert_memory_equal(m.values[k] + 1, op->params[k].name,
					    strlen(op->params[k].name));
		free(m.rest);
		uri_done(&uri);
	}
	document_free(d);
	free(handlers);
}

static void test_binding(void **state)
{
	const struct http_handler unknown = { "no_such_operation", nothing };
	const struct http_handler twice[] = { { "vm_list", nothing }, { "vm_list", nothing } };
	struct document *d = load_embedded();
	struct error err = ERROR_INIT;

	(void)state;
	assert_true(document_bind(d, &unknown, 1, &err) < 0);
	assert_non_null(strstr(err.msg, "no_such_operation"));
	assert_true(document_bind(d, twice, 2, &err) < 0);
	assert_non_null(strstr(err.msg, "two handlers"));
	assert_true(document_check_bound(d, &err) < 0);
	assert_non_null(strstr(err.msg, "has no handler"));
	document_free(d);
}

static const char rest_document[] =
	"{\"paths\":{"
	"\"/vms/{vm}/files/"
	"{path}\":{\"get\":{\"operationId\":\"files\",\"x-banger-scope\":\"read\","
	"\"parameters\":[{\"name\":\"path\",\"in\":\"path\",\"x-banger-rest\":true,"
	"\"schema\":{\"type\":\"string\"}},"
	"{\"name\":\"vm\",\"in\":\"path\",\"schema\":{\"type\":\"string\"}}],"
	"\"responses\":{\"default\":{}}}},"
	"\"/vms/{vm}\":{\"get\":{\"operationId\":\"get\",\"x-banger-scope\":\"read\","
	"\"parameters\":[{\"name\":\"vm\",\"in\":\"path\",\"schema\":{\"type\":\"string\"}}],"
	"\"responses\":{\"default\":{}}}},"
	"\"/vms/special\":{\"get\":{\"operationId\":\"special\",\"x-banger-scope\":\"read\","
	"\"responses\":{\"default\":{}}}}"
	"}}";

static int find(const struct document *d, const char *target, struct uri *uri,
		struct route_match *m)
{
	struct error err = ERROR_INIT;

	assert_int_equal(uri_parse(target, uri, &err), 0);
	return route_find(d, uri, m);
}

static void test_matching(void **state)
{
	static const struct http_handler handlers[] = {
		{ "files", nothing },
		{ "get", nothing },
		{ "special", nothing },
	};
	struct error err = ERROR_INIT;
	struct document *d = NULL;
	struct route_match m;
	struct uri uri;

	(void)state;
	assert_int_equal(document_load(rest_document, strlen(rest_document), &d, &err), 0);
	assert_int_equal(document_bind(d, handlers, ARRAY_SIZE(handlers), &err), 0);

	assert_int_equal(find(d, "/vms/web/files/etc/a%20b//c", &uri, &m), 0);
	assert_string_equal(m.methods[METHOD_GET]->id, "files");
	assert_string_equal(m.methods[METHOD_GET]->params[0].name, "vm");
	assert_string_equal(m.values[0], "web");
	assert_string_equal(m.values[1], "etc/a b//c");
	free(m.rest);
	uri_done(&uri);

	assert_int_equal(find(d, "/vms/special", &uri, &m), 0);
	assert_string_equal(m.methods[METHOD_GET]->id, "special");
	uri_done(&uri);

	assert_int_equal(find(d, "/vms/a%2Fb", &uri, &m), 0);
	assert_string_equal(m.values[0], "a/b");
	uri_done(&uri);

	assert_int_equal(find(d, "/vms", &uri, &m), -ENOENT);
	uri_done(&uri);
	assert_int_equal(find(d, "/vms//files/x", &uri, &m), -ENOENT);
	uri_done(&uri);
	assert_int_equal(find(d, "/vms/web/nothing", &uri, &m), -ENOENT);
	uri_done(&uri);
	document_free(d);
}

static void check_refused(const char *text, const char *why)
{
	struct error err = ERROR_INIT;
	struct document *d = NULL;

	assert_true(document_load(text, strlen(text), &d, &err) < 0);
	if (!strstr(err.msg, why))
		fail_msg("%s", err.msg);
}

static void test_mistakes(void **state)
{
	(void)state;
	check_refused("{", "OpenAPI document");
	check_refused("{\"paths\":{\"/x\":{\"get\":{}}}}", "no operationId");
	check_refused("{\"paths\":{\"/x\":{\"get\":{\"operationId\":\"x\"}}}}", "x-banger-scope");
	check_refused("{\"paths\":{\"/x/{y}\":{\"get\":{\"operationId\":\"x\","
		      "\"x-banger-scope\":\"read\"}}}}",
		      "path parameter");
	check_refused("{\"paths\":{\"/x\":{\"get\":{\"operationId\":\"x\","
		      "\"x-banger-scope\":\"read\"}}}}",
		      "default response");
	check_refused("{\"paths\":{\"/x\":{\"get\":{\"operationId\":\"x\","
		      "\"x-banger-scope\":\"read\",\"parameters\":[{\"name\":\"z\",\"in\":"
		      "\"path\",\"schema\":{}}],\"responses\":{\"default\":{}}}}}}",
		      "does not have");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_embedded_routes),
		cmocka_unit_test(test_binding),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
