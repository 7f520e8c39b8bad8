/* SPDX-License-Identifier: Apache-2.0 */
/* operation list, show, cancel; events. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"

enum { EVENT_MAX = 256 * 1024 };

static void print_operations(const struct cli *cli, const json_t *list)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	const json_t *op;
	char text[32];
	size_t i;

	table_init(&table, "ID", "KIND", "TARGET", "STATE", "STAGE", "TOOK", "BEGUN", NULL);
	json_array_foreach (list, i, op) {
		const json_t *stages = json_object_get(op, "stages");
		const char *name = json_str(op, "target_name");

		table_cell(&table, json_str(op, "id"));
		table_cell(&table, json_str(op, "kind"));
		table_cell(&table, *name ? name : json_str(op, "target"));
		table_cell(&table, json_str(op, "state"));
		table_cell(&table,
			   json_str(json_array_get(stages, json_array_size(stages) - 1), "name"));
		if (json_object_get(op, "duration_ms"))
			table_cell(&table, format_duration_ms(json_int(op, "duration_ms"), text));
		else
			table_cell(&table, "");
		table_cellf(&table, "%s ago", format_age(json_str(op, "created"), now, text));
	}
	table_print(&table, stdout, cli->colour);
}

int cmd_operation_list(struct cli *cli, const struct args *args)
{
	json_auto_t *list = NULL;
	char query[256] = "";
	int status = cli_connect(cli, args), n = 0;

	if (status)
		return status;
	if (args_given(args, OPT_STATE)) {
		autofree char *state = client_escape(args->values[OPT_STATE]);

		n = snprintf(query, sizeof(query), "&state=%.100s", state ? state : "");
	}
	if (args_given(args, OPT_TARGET)) {
		autofree char *target = client_escape(args->values[OPT_TARGET]);

		(void)snprintf(query + n, sizeof(query) - (size_t)n, "&target=%.100s",
			       target ? target : "");
		n = (int)strlen(query);
	}
	if (args_given(args, OPT_KIND)) {
		autofree char *kind = client_escape(args->values[OPT_KIND]);

		(void)snprintf(query + n, sizeof(query) - (size_t)n, "&kind=%.100s",
			       kind ? kind : "");
	}
	list = cli_list(cli, "/operations", query, &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	print_operations(cli, list);
	return 0;
}

static void print_stages(const struct cli *cli, const json_t *operation)
{
	struct table table CLEANUP(table_done) = { 0 };
	const json_t *stage;
	char text[32];
	size_t i;

	table_init(&table, "STAGE", "AFTER", "TOOK", NULL);
	json_array_foreach (json_object_get(operation, "stages"), i, stage) {
		table_cell(&table, json_str(stage, "name"));
		table_cell(&table, format_duration_ms(json_int(stage, "start_ms"), text));
		if (json_object_get(stage, "duration_ms"))
			table_cell(&table,
				   format_duration_ms(json_int(stage, "duration_ms"), text));
		else
			table_cell(&table, "under way");
	}
	table_print(&table, stdout, cli->colour);
}

int cmd_operation_show(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *escaped = client_escape(args->positional[0]);
	struct client_request request = { .method = "GET" };
	autofree char *path = NULL;
	json_auto_t *one = NULL;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!escaped || asprintf(&path, "/operations/%s", escaped) < 0)
		return EXIT_FAILED;
	request.path = path;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(reply.json);
	one = json_pack("[O]", reply.json);
	print_operations(cli, one);
	(void)putchar('\n');
	print_stages(cli, reply.json);
	if (json_object_get(reply.json, "error"))
		cli_show_problem(cli, json_object_get(reply.json, "error"));
	return 0;
}

int cmd_operation_cancel(struct cli *cli, const struct args *args)
{
	return cancel_each(cli, args, "/operations");
}

struct event_lines {
	struct buf line;
	bool json;
};

static void print_event(const char *line, size_t len)
{
	struct error ignored = ERROR_INIT;
	json_auto_t *event = json_parse(line, len, &ignored);
	const char *name = json_str(event, "target_name");
	json_t *data = json_object_get(event, "data");
	autofree char *more = data ? json_text(data) : NULL;
	char kind[96], target[96], by[96];

	if (!event)
		return;
	(void)printf(
		"%-24s %-20s %-20s %-12s %s\n", json_str(event, "time"),
		text_harmless(json_str(event, "kind"), kind, sizeof(kind)),
		text_harmless(*name ? name : json_str(event, "target"), target, sizeof(target)),
		text_harmless(json_str(event, "by"), by, sizeof(by)), more ? more : "");
}

static int take_events(void *data, const char *bytes, size_t len)
{
	struct event_lines *lines = data;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n') {
			if (buf_append(&lines->line, &bytes[i], 1) < 0)
				return -1;
			continue;
		}
		if (buf_len(&lines->line) > 0 && lines->json)
			(void)printf("%.*s\n", (int)buf_len(&lines->line),
				     (const char *)buf_bytes(&lines->line));
		else if (buf_len(&lines->line) > 0)
			print_event((const char *)buf_bytes(&lines->line), buf_len(&lines->line));
		buf_consume(&lines->line, buf_len(&lines->line));
	}
	return fflush(stdout) == EOF ? -1 : 0;
}

int cmd_events(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct event_lines lines = { .json = cli->json };
	struct client_request request = { .method = "GET",
					  .accept = "application/x-ndjson",
					  .on_data = take_events,
					  .data = &lines };
	struct buf path CLEANUP(buf_done) = { 0 };
	autofree char *kind =
		client_escape(args_given(args, OPT_KIND) ? args->values[OPT_KIND] : "");
	autofree char *target =
		client_escape(args_given(args, OPT_TARGET) ? args->values[OPT_TARGET] : "");
	autofree char *by = client_escape(args_given(args, OPT_BY) ? args->values[OPT_BY] : "");
	int status = cli_connect(cli, args), r;

	buf_init(&path, 4096);
	if (status)
		return status;
	r = buf_printf(&path, "/events?");
	if (r == 0 && args_given(args, OPT_SINCE))
		r = buf_printf(&path, "since=%llu&", (unsigned long long)args->numbers[OPT_SINCE]);
	if (r == 0 && kind && *kind)
		r = buf_printf(&path, "kind=%s&", kind);
	if (r == 0 && target && *target)
		r = buf_printf(&path, "target=%s&", target);
	if (r == 0 && by && *by)
		r = buf_printf(&path, "by=%s&", by);
	if (r == 0 && args_given(args, OPT_NO_FOLLOW))
		r = buf_printf(&path, "follow=false&");
	/* The last byte is '?' or '&': it makes room for the end of the text. */
	if (r < 0)
		return EXIT_FAILED;
	buf_bytes(&path)[buf_len(&path) - 1] = '\0';
	request.path = (const char *)buf_bytes(&path);
	buf_init(&lines.line, EVENT_MAX);
	if (cli_request(cli, &request, &reply, &status))
		status = 0;
	buf_done(&lines.line);
	return status;
}
