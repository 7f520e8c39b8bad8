/* SPDX-License-Identifier: Apache-2.0 */
/* execs: commands that go on by themselves. Output that breaks off is taken up where it stopped. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/frames.h"
#include "cli/output.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

enum { TRIES = 60, TRY_MS = 500, WAIT_S = 60 };

/* "/vms/web/execs/06a…<suffix>"; the caller frees. */
static char *exec_path(const struct args *args, const char *suffix)
{
	autofree char *vm = client_escape(args->positional[0]);
	autofree char *id = args->n_positional > 1 ? client_escape(args->positional[1]) : NULL;
	char *path = NULL;

	if (!vm ||
	    asprintf(&path, "/vms/%s/execs%s%s%s", vm, id ? "/" : "", id ? id : "", suffix) < 0)
		return NULL;
	return path;
}

/* How it ended, as a shell has it; -1 while it runs. */
static int exec_status(const json_t *exec)
{
	const json_t *code = json_object_get(exec, "exit_code");

	if (json_is_integer(code))
		return (int)(json_integer_value(code) & 0xff);
	if (json_is_integer(json_object_get(exec, "signal")))
		return 128 + (int)json_int(exec, "signal");
	return json_object_get(exec, "ended") ? EXIT_OURS : -1;
}

static void add_row(struct table *table, const json_t *exec, int64_t now_ms)
{
	const json_t *argv = json_object_get(exec, "argv");
	char text[80] = "", age[32];
	size_t i, n = 0;
	const json_t *one;
	int status = exec_status(exec);

	json_array_foreach (argv, i, one) {
		if (n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
					      json_string_value(one));
	}
	table_cell(table, json_str(exec, "id"));
	table_cell(table, json_str(exec, "state"));
	if (status >= 0)
		table_cellf(table, "%d", status);
	else
		table_cell(table, NULL);
	table_cell(table, format_age(json_str(exec, "created"), now_ms, age));
	table_cell(table, text);
}

int cmd_execs_list(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct table table CLEANUP(table_done) = { 0 };
	autofree char *path = exec_path(args, "");
	struct client_request request = { .method = "GET", .path = path };
	int64_t now_ms = clock_wall_ms();
	const json_t *items, *one;
	size_t i;
	int status = cli_connect(cli, args);

	table_init(&table, "ID", "STATE", "EXIT", "AGE", "COMMAND", NULL);
	if (status || !path)
		return status ? status : EXIT_FAILED;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	items = json_object_get(reply.json, "items");
	if (cli->json)
		return print_json(items);
	json_array_foreach (items, i, one) {
		if (cli->quiet)
			(void)printf("%s\n", json_str(one, "id"));
		else
			add_row(&table, one, now_ms);
	}
	if (!cli->quiet)
		table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_execs_show(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = exec_path(args, "");
	struct client_request request = { .method = "GET", .path = path };
	int status = cli_connect(cli, args);

	if (status || !path)
		return status ? status : EXIT_FAILED;
	return cli_request(cli, &request, &reply, &status) ? print_json(reply.json) : status;
}

/* One request; true when the stream broke off and another try is worth it. */
static bool read_output(struct cli *cli, const char *path, struct frames *frames, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET",
					  .path = path,
					  .accept = "application/x-ndjson",
					  .on_data = frames_take,
					  .data = frames };
	struct error err = ERROR_INIT;

	if (client_do(cli->client, &request, &reply, &err) < 0) {
		if (frames->error.code == ERR_NONE && !client_signal(cli->client))
			return true;
		*ret_status = cli_fail(cli, frames->error.code != ERR_NONE ? &frames->error : &err);
	} else if (reply.status >= 400) {
		*ret_status = cli_fail_reply(cli, &reply);
	} else if (frames->problem) {
		cli_show_problem(cli, frames->problem);
		*ret_status = EXIT_FAILED;
	}
	return false;
}

int cmd_execs_logs(struct cli *cli, const struct args *args)
{
	struct frames frames CLEANUP(frames_done) = { 0 };
	autofree char *path = exec_path(args, "/output");
	bool follow = args_given(args, OPT_FOLLOW);
	int status = cli_connect(cli, args);
	bool again = true;

	frames_init(&frames, STDOUT_FILENO, STDERR_FILENO);
	if (args_given(args, OPT_FROM))
		frames.offset = args->numbers[OPT_FROM];
	for (int tries = 0; status == 0 && again && tries < TRIES; tries++) {
		uint64_t before = frames.offset;
		autofree char *full = NULL;

		if (!path ||
		    asprintf(&full, "%s?from=%llu%s", path, (unsigned long long)frames.offset,
			     follow ? "&follow=true" : "") < 0)
			return EXIT_FAILED;
		if (tries > 0 && client_sleep_ms(cli->client, TRY_MS) < 0)
			return 128 + client_signal(cli->client);
		again = read_output(cli, full, &frames, &status);
		frames_restart(&frames);
		if (frames.offset > before)
			tries = 0;
	}
	if (again && status == 0) {
		cli_say(cli, ERR_UPSTREAM, "the output broke off at byte %llu",
			(unsigned long long)frames.offset);
		return EXIT_FAILED;
	}
	return status;
}

int cmd_execs_wait(struct cli *cli, const struct args *args)
{
	autofree char *path = exec_path(args, "");
	int status = cli_connect(cli, args);

	if (status || !path)
		return status ? status : EXIT_OURS;
	for (;;) {
		struct client_reply reply CLEANUP(client_reply_done) = { 0 };
		struct client_request request = { .method = "GET", .path = path, .wait_s = WAIT_S };

		if (!cli_request(cli, &request, &reply, &status))
			return status == EXIT_FAILED ? EXIT_OURS : status;
		status = exec_status(reply.json);
		if (status < 0)
			continue;
		if (*json_str(reply.json, "reason"))
			cli_say(cli, ERR_GUEST, "%s", json_str(reply.json, "reason"));
		return status;
	}
}

int cmd_execs_kill(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = exec_path(args, "/signal");
	const char *name = args_given(args, OPT_SIGNAL) ? args->values[OPT_SIGNAL] : "KILL";
	json_auto_t *body = json_pack("{s:s}", "signal", name);
	struct client_request request = { .method = "POST", .path = path, .body = body };
	int status = cli_connect(cli, args);

	if (status || !path || !body)
		return status ? status : EXIT_FAILED;
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}

int cmd_execs_delete(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = exec_path(args, "");
	struct client_request request = { .method = "DELETE", .path = path };
	int status = cli_connect(cli, args);

	if (status || !path)
		return status ? status : EXIT_FAILED;
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}
