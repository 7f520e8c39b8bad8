/* SPDX-License-Identifier: Apache-2.0 */
/* open, version, tokens. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/proc/proc.h"

#ifndef BANGER_VERSION
#error "the build gives BANGER_VERSION"
#endif

/* Gives the link to the desktop; false where there is none. */
static bool open_in_browser(const char *url)
{
	autofree char *program = proc_find_program("xdg-open");
	const char *argv[] = { program, url, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct error ignored = ERROR_INIT;

	if (!program || (!secure_getenv("DISPLAY") && !secure_getenv("WAYLAND_DISPLAY")))
		return false;
	spec.argv = argv;
	spec.env = (const char *const *)environ;
	run.timeout_ms = 10000;
	return proc_run_ok(&spec, &run, &ignored) == 0;
}

int cmd_open(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "POST", .path = "/logins" };
	const char *url;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(reply.json);
	url = json_str(reply.json, "url");
	if (args_given(args, OPT_PRINT) || !open_in_browser(url))
		(void)printf("%s\n", url);
	return 0;
}

int cmd_version(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET", .path = "/version" };
	struct error err = ERROR_INIT;
	json_auto_t *both = NULL;
	const char *server = NULL;

	if (cli_connect(cli, args))
		return EXIT_FAILED;
	/* This program's own version needs no server. */
	if (client_do(cli->client, &request, &reply, &err) == 0 && reply.status == 200)
		server = json_str(reply.json, "version");
	if (cli->json) {
		both = json_pack("{s:s, s:s?}", "client", BANGER_VERSION, "server", server);
		return print_json(both);
	}
	(void)printf("banger %s\n", BANGER_VERSION);
	if (server)
		(void)printf("banger-server %s at %s\n", server, client_address(cli->client));
	else
		(void)printf("banger-server: %s\n",
			     err.code != ERR_NONE ? err.msg : "does not tell its version");
	return 0;
}

int cmd_token_create(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	json_auto_t *body = args_body(args);
	struct client_request request = { .method = "POST", .path = "/tokens", .body = body };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!body || json_object_set_new(body, "name", json_string(args->positional[0])) < 0)
		return EXIT_FAILED;
	if (!args_given(args, OPT_SCOPE))
		(void)json_object_set_new(body, "scope", json_string("run"));
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(reply.json);
	(void)printf("%s\n", json_str(reply.json, "token"));
	if (cli->progress)
		(void)fprintf(stderr, "keep it: it is not shown again\n");
	return 0;
}

int cmd_token_list(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	const json_t *token;
	char age[32];
	size_t i;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!cli_request(cli, &(struct client_request){ .method = "GET", .path = "/tokens" },
			 &reply, &status))
		return status;
	if (cli->json)
		return print_json(json_object_get(reply.json, "items"));
	if (cli->quiet)
		return print_names(json_object_get(reply.json, "items"));
	table_init(&table, "NAME", "SCOPE", "CREATED", "EXPIRES", NULL);
	json_array_foreach (json_object_get(reply.json, "items"), i, token) {
		table_cell(&table, json_str(token, "name"));
		table_cell(&table, json_str(token, "scope"));
		table_cellf(&table, "%s ago", format_age(json_str(token, "created"), now, age));
		table_cell(&table, json_str(token, "expires"));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_token_delete(struct cli *cli, const struct args *args)
{
	struct target_verb verb = { "/tokens", "token", "DELETE", "", "revoking", false };
	int status = cli_connect(cli, args);

	return status ? status : targets_run(cli, &verb, args->positional, args->n_positional);
}
