/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/shape.h"

#include <stdlib.h>

#include "cli/output.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"

json_t *shape_body(const struct args *args)
{
	json_auto_t *body = args_body(args);

	if (!body)
		return NULL;
	if (args_given(args, OPT_NO_ISOLATION) &&
	    json_object_set_new(body, "isolated", json_false()) < 0)
		return NULL;
	if (args_given(args, OPT_NO_NAT) && json_object_set_new(body, "nat", json_false()) < 0)
		return NULL;
	if (args_given(args, OPT_NO_START) && json_object_set_new(body, "start", json_false()) < 0)
		return NULL;
	return json_incref(body);
}

int print_names(const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		const char *name = json_str(item, "name");
		char clean[512];

		(void)puts(
			text_harmless(*name ? name : json_str(item, "id"), clean, sizeof(clean)));
	}
	return 0;
}

void print_resource(const json_t *resource)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)resource, key, value) {
		autofree char *text = NULL;
		char clean[1024];
		char left[32];

		if (json_is_string(value)) {
			(void)printf("%-12s %s", key,
				     text_harmless(json_string_value(value), clean, sizeof(clean)));
			if (streq(key, "expires") || streq(key, "sleeps"))
				(void)printf(" (in %s)", format_until(json_string_value(value),
								      clock_wall_ms(), left));
			(void)putchar('\n');
			continue;
		}
		text = json_text(value);
		(void)printf("%-12s %s\n", key, text ? text : "");
	}
}

int show_each(struct cli *cli, const struct args *args, const char *collection)
{
	int status = cli_connect(cli, args), worst = 0;

	if (status)
		return status;
	for (size_t i = 0; i < args->n_positional; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		autofree char *escaped = client_escape(args->positional[i]);
		autofree char *path = NULL;
		struct client_request request = { .method = "GET" };

		if (!escaped || asprintf(&path, "%s/%s", collection, escaped) < 0)
			return EXIT_FAILED;
		request.path = path;
		if (!cli_request(cli, &request, &reply, &status)) {
			worst = status;
			continue;
		}
		if (cli->json) {
			worst = print_json(reply.json) ? EXIT_FAILED : worst;
			continue;
		}
		if (i > 0)
			(void)putchar('\n');
		print_resource(reply.json);
	}
	return worst;
}

int cancel_each(struct cli *cli, const struct args *args, const char *collection)
{
	int worst = 0, status = cli_connect(cli, args);

	if (status)
		return status;
	for (size_t i = 0; i < args->n_positional; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		autofree char *escaped = client_escape(args->positional[i]);
		struct client_request request = { .method = "DELETE" };
		autofree char *path = NULL;

		if (!escaped || asprintf(&path, "%s/%s", collection, escaped) < 0)
			return EXIT_FAILED;
		request.path = path;
		if (!cli_request(cli, &request, &reply, &status))
			worst = status;
		else
			(void)printf("%s\n", args->positional[i]);
	}
	return worst;
}
