/* SPDX-License-Identifier: Apache-2.0 */
/* image and kernel: list, make, show, delete. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

int cmd_image_list(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	json_auto_t *list = NULL;
	const json_t *image;
	char text[32];
	size_t i;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	list = cli_list(cli, "/images", "", &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	table_init(&table, "NAME", "SIZE", "CREATED", "USED BY", "SOURCE", NULL);
	json_array_foreach (list, i, image) {
		table_cell(&table, json_str(image, "name"));
		table_cell(&table, format_bytes((uint64_t)json_int(image, "size_bytes"), text));
		table_cellf(&table, "%s ago", format_age(json_str(image, "created"), now, text));
		table_cellf(&table, "%zu", json_array_size(json_object_get(image, "used_by")));
		table_cell(&table, json_str(image, "source"));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_kernel_list(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	json_auto_t *list = NULL;
	const json_t *kernel;
	char text[32];
	size_t i;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	list = cli_list(cli, "/kernels", "", &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	table_init(&table, "NAME", "VERSION", "DEFAULT", "SIZE", "CREATED", NULL);
	json_array_foreach (list, i, kernel) {
		table_cell(&table, json_str(kernel, "name"));
		table_cell(&table, json_str(kernel, "version"));
		table_cell(&table, json_is_true(json_object_get(kernel, "default")) ? "yes" : "");
		table_cell(&table, format_bytes((uint64_t)json_int(kernel, "size_bytes"), text));
		table_cellf(&table, "%s ago", format_age(json_str(kernel, "created"), now, text));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

/* POST of { field: first argument, name }, and one more field where `more` is not NULL. */
static int make_with(struct cli *cli, const struct args *args, const char *collection,
		     const char *field, const char *more_field, const char *more)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = args_body(args);
	struct client_request request = { .method = "POST", .path = collection, .body = body };
	char what[96];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!body || json_object_set_new(body, field, json_string(args->positional[0])) < 0 ||
	    (more && json_object_set_new(body, more_field, json_string(more)) < 0)) {
		cli_say(cli, ERR_INVALID, "an argument is no UTF-8 text");
		return EXIT_FAILED;
	}
	(void)snprintf(what, sizeof(what), "%s %s", collection + 1, args->positional[0]);
	if (!operation_run(cli, &request, what, &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", json_str(outcome.result, "name"));
	return 0;
}

static int make(struct cli *cli, const struct args *args, const char *collection, const char *field)
{
	return make_with(cli, args, collection, field, NULL, NULL);
}

int cmd_image_build(struct cli *cli, const struct args *args)
{
	return make(cli, args, "/images", "build");
}

int cmd_image_pull(struct cli *cli, const struct args *args)
{
	return make(cli, args, "/images", "pull");
}

/* The shape of a VM that leaves out what is left out here. */
int cmd_image_prepare(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = args_body(args);
	struct client_request request = { .method = "POST", .path = "/templates", .body = body };
	char what[300];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!body || json_object_set_new(body, "image", json_string(args->positional[0])) < 0) {
		cli_say(cli, ERR_INVALID, "an argument is no UTF-8 text");
		return EXIT_FAILED;
	}
	(void)snprintf(what, sizeof(what), "image %s", args->positional[0]);
	if (!operation_run(cli, &request, what, &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", args->positional[0]);
	return 0;
}

/* An image that gets a name and comes from `source`. */
static int make_named(struct cli *cli, const struct args *args, const char *name, const char *field,
		      const char *source)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = json_pack("{s:s, s:s}", "name", name, field, source);
	struct client_request request = { .method = "POST", .path = "/images", .body = body };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!body) {
		cli_say(cli, ERR_INVALID, "an argument is no UTF-8 text");
		return EXIT_FAILED;
	}
	if (!operation_run(cli, &request, "images import", &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", json_str(outcome.result, "name"));
	return 0;
}

int cmd_image_import(struct cli *cli, const struct args *args)
{
	return make_named(cli, args, args->positional[0], "import", args->positional[1]);
}

int cmd_image_promote(struct cli *cli, const struct args *args)
{
	return make_named(cli, args, args->positional[1], "from_vm", args->positional[0]);
}

int cmd_image_verify(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL;
	struct client_request request = { .method = "POST" };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!escaped || asprintf(&path, "/images/%s/verify", escaped) < 0)
		return EXIT_FAILED;
	request.path = path;
	if (!operation_run(cli, &request, "image verify", &outcome))
		return outcome.status;
	(void)printf("%s: as it was made\n", args->positional[0]);
	return 0;
}

int cmd_catalog_list(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	json_auto_t *list = NULL;
	const json_t *name;
	size_t i;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	list = cli_items(cli, "/catalog", &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	table_init(&table, "NAME", "KIND", "HERE", "SOURCE", NULL);
	json_array_foreach (list, i, name) {
		table_cell(&table, json_str(name, "name"));
		table_cell(&table, json_str(name, "kind"));
		table_cell(&table, json_is_true(json_object_get(name, "here")) ? "yes" : "");
		table_cell(&table, json_str(name, "source"));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_image_tag(struct cli *cli, const struct args *args)
{
	json_auto_t *body = json_pack("{s:s}", "name", args->positional[1]);
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL;
	struct client_request request = { .method = "POST", .body = body };
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!body || !escaped || asprintf(&path, "/images/%s/tag", escaped) < 0) {
		cli_say(cli, ERR_INVALID, "an argument is no UTF-8 text");
		return EXIT_FAILED;
	}
	request.path = path;
	if (!operation_run(cli, &request, "image tag", &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", json_str(outcome.result, "name"));
	return 0;
}

int cmd_image_size(struct cli *cli, const struct args *args)
{
	static const struct {
		const char *field;
		const char *text;
	} rows[] = {
		{ "real_bytes", "on disk" },
		{ "shared_bytes", "of it shared with other names" },
		{ "freed_bytes", "freed by deleting it" },
	};
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL;
	struct client_request request = { .method = "GET" };
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	char text[32];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!escaped || asprintf(&path, "/images/%s/size", escaped) < 0)
		return EXIT_FAILED;
	request.path = path;
	if (!operation_run(cli, &request, "image size", &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		(void)printf("%10s  %s\n",
			     format_bytes((uint64_t)json_int(outcome.result, rows[i].field), text),
			     rows[i].text);
	return 0;
}

int cmd_cache_prune(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = json_pack("{s:b}", "dry_run", args_given(args, OPT_DRY_RUN));
	struct client_request request = { .method = "POST", .path = "/cache/prune", .body = body };
	char size[32];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!operation_run(cli, &request, "cache prune", &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s%s\n", args_given(args, OPT_DRY_RUN) ? "would free " : "freed ",
		     format_bytes((uint64_t)json_int(outcome.result, "bytes"), size));
	return 0;
}

int cmd_kernel_build(struct cli *cli, const struct args *args)
{
	return make(cli, args, "/kernels", "build");
}

/* A word, an absolute path (and its modules'), an address (and its digest), or a reference. */
int cmd_kernel_import(struct cli *cli, const struct args *args)
{
	const char *source = args->positional[0];
	const char *more = args->n_positional > 1 ? args->positional[1] : NULL;
	bool url = strstr(source, "://");

	return make_with(cli, args, "/kernels",
			 source[0] == '/'         ? "file"
			 : url                    ? "url"
			 : strpbrk(source, "/:@") ? "pull"
						  : "import",
			 url ? "sha256" : "modules", more);
}

int cmd_image_show(struct cli *cli, const struct args *args)
{
	return show_each(cli, args, "/images");
}

int cmd_kernel_show(struct cli *cli, const struct args *args)
{
	return show_each(cli, args, "/kernels");
}

static int delete_each(struct cli *cli, const struct args *args, const struct target_verb *verb)
{
	int status = cli_connect(cli, args);

	return status ? status : targets_run(cli, verb, args->positional, args->n_positional);
}

int cmd_image_delete(struct cli *cli, const struct args *args)
{
	return delete_each(
		cli, args,
		&(struct target_verb){ "/images", "image", "DELETE", "", "deleting", false });
}

int cmd_kernel_delete(struct cli *cli, const struct args *args)
{
	return delete_each(
		cli, args,
		&(struct target_verb){ "/kernels", "kernel", "DELETE", "", "deleting", false });
}
