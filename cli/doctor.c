/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what the server finds on its host, and what it can mend of that by itself. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/targets.h"
#include "lib/base/cleanup.h"

static bool ask(struct cli *cli, struct client_reply *ret_reply, int *ret_status)
{
	struct client_request request = { .method = "GET", .path = "/doctor" };

	return cli_request(cli, &request, ret_reply, ret_status);
}

static void print_checks(const struct cli *cli, const json_t *checks)
{
	struct table table CLEANUP(table_done) = { 0 };
	const json_t *check;
	size_t i;

	table_init(&table, "CHECK", "RESULT", "FOUND", NULL);
	json_array_foreach (checks, i, check) {
		table_cell(&table, json_str(check, "name"));
		table_cell(&table, json_str(check, "status"));
		table_cell(&table, json_str(check, "detail"));
		if (!cli->quiet && *json_str(check, "remedy") &&
		    !streq(json_str(check, "status"), "pass")) {
			table_cell(&table, " ");
			table_cell(&table, " ");
			table_cellf(&table, "try: %s", json_str(check, "remedy"));
		}
	}
	table_print(&table, stdout, cli->colour);
}

/* Sends what the checks offer, one after the other. False when one failed, which has been shown. */
static bool fix_all(struct cli *cli, const json_t *checks)
{
	const json_t *check;
	bool all = true;
	size_t n = 0;
	size_t i;

	json_array_foreach (checks, i, check) {
		const json_t *fix = json_object_get(check, "fix");
		struct client_request request = { .method = "POST",
						  .path = json_str(fix, "path"),
						  .body = json_object_get(fix, "body") };
		struct outcome outcome CLEANUP(outcome_done) = { 0 };

		if (!fix)
			continue;
		n++;
		if (!cli->quiet)
			(void)fprintf(stderr, "%s: %s\n", json_str(check, "name"),
				      json_str(check, "remedy"));
		all = operation_run(cli, &request, json_str(check, "name"), &outcome) && all;
	}
	if (n == 0 && !cli->quiet)
		(void)fprintf(stderr, "nothing that could be fixed from here\n");
	return all;
}

int cmd_doctor(struct cli *cli, const struct args *args)
{
	struct client_reply before CLEANUP(client_reply_done) = { 0 };
	struct client_reply after CLEANUP(client_reply_done) = { 0 };
	const json_t *report;
	bool fixed = true;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!ask(cli, &before, &status))
		return status;
	report = before.json;
	if (args_given(args, OPT_FIX)) {
		fixed = fix_all(cli, json_object_get(report, "checks"));
		if (!ask(cli, &after, &status))
			return status;
		report = after.json;
	}
	status = !fixed || streq(json_str(report, "status"), "fail") ? EXIT_FAILED : 0;
	if (cli->json)
		return print_json(report) ? EXIT_FAILED : status;
	print_checks(cli, json_object_get(report, "checks"));
	return status;
}
