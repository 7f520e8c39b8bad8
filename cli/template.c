/* SPDX-License-Identifier: Apache-2.0 */
/* template: what makes the next VM of a shape quick: list, show, delete. */
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

/* Every template. New reference or NULL with *ret_status. */
static json_t *templates(struct cli *cli, const struct args *args, int *ret_status)
{
	*ret_status = cli_connect(cli, args);
	return *ret_status ? NULL : cli_items(cli, "/templates", ret_status);
}

int cmd_template_list(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	int status;
	json_auto_t *list = templates(cli, args, &status);
	const json_t *one;
	char text[32];
	size_t i;

	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	table_init(&table, "ID", "IMAGE", "VCPUS", "MEMORY", "NETWORK", "SIZE", "PINNED", "READY",
		   "USED", NULL);
	json_array_foreach (list, i, one) {
		table_cell(&table, json_str(one, "id"));
		table_cell(&table, json_str(one, "image"));
		table_cellf(&table, "%lld", (long long)json_int(one, "vcpus"));
		table_cellf(&table, "%lld MiB", (long long)json_int(one, "memory_mib"));
		table_cell(&table, json_str(one, "network"));
		table_cell(&table, format_bytes((uint64_t)json_int(one, "size_bytes"), text));
		table_cell(&table, json_is_true(json_object_get(one, "pinned")) ? "yes" : "");
		table_cell(&table, json_str(one, "standby")[0] ? "yes" : "");
		table_cellf(&table, "%s ago", format_age(json_str(one, "last_used"), now, text));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

static const json_t *find(const json_t *list, const char *id)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		if (streq(json_str(one, "id"), id))
			return one;
	}
	return NULL;
}

int cmd_template_show(struct cli *cli, const struct args *args)
{
	int status;
	json_auto_t *list = templates(cli, args, &status);

	if (!list)
		return status;
	for (size_t i = 0; i < args->n_positional; i++) {
		const json_t *one = find(list, args->positional[i]);

		if (!one) {
			cli_say(cli, ERR_NOT_FOUND, "there is no template '%s'",
				args->positional[i]);
			status = EXIT_FAILED;
		} else if (cli->json) {
			status = print_json(one) ? EXIT_FAILED : status;
		} else {
			print_resource(one);
		}
	}
	return status;
}

static int pin_each(struct cli *cli, const struct args *args, bool pinned)
{
	json_auto_t *body = json_pack("{s:b}", "pinned", pinned ? 1 : 0);
	int status = cli_connect(cli, args);

	for (size_t i = 0; status == 0 && i < args->n_positional; i++) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		autofree char *escaped = client_escape(args->positional[i]);
		autofree char *path = escaped ? path_join("/templates", escaped) : NULL;
		struct client_request request = { .method = "PATCH", .path = path, .body = body };

		if (!path)
			return EXIT_FAILED;
		if (!cli_request(cli, &request, &reply, &status))
			return status;
		if (!cli->quiet)
			(void)printf("%s\n", args->positional[i]);
	}
	return status;
}

int cmd_template_pin(struct cli *cli, const struct args *args)
{
	return pin_each(cli, args, true);
}

int cmd_template_unpin(struct cli *cli, const struct args *args)
{
	return pin_each(cli, args, false);
}

int cmd_template_delete(struct cli *cli, const struct args *args)
{
	struct target_verb verb = { "/templates", "template", "DELETE", "", "deleting", false };
	int status = cli_connect(cli, args);

	return status ? status : targets_run(cli, &verb, args->positional, args->n_positional);
}
