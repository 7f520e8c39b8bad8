/* SPDX-License-Identifier: Apache-2.0 */
/* vm create, list, show, logs and the verbs on VMs that exist. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/console.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/base64.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

int cmd_vm_create(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = shape_body(args);
	int status = cli_connect(cli, args);
	char what[96];

	if (status)
		return status;
	if (!body)
		return cli_fail(cli, &(struct error){ .code = ERR_INVALID,
						      .msg = "an option is no UTF-8 text" });
	(void)snprintf(what, sizeof(what), "vm %s",
		       args_given(args, OPT_NAME) ? args->values[OPT_NAME] : "new");
	if (!operation_run(
		    cli, &(struct client_request){ .method = "POST", .path = "/vms", .body = body },
		    what, &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", json_str(outcome.result, "name"));
	return 0;
}

/* "&label=a%3Db&state=running"; the caller frees. */
static char *list_query(const struct args *args)
{
	struct buf query;
	char *text = NULL;
	int r = 0;

	buf_init(&query, 64 * 1024);
	for (size_t i = 0; i < args->n_pairs && r == 0; i++) {
		autofree char *escaped = client_escape(args->pairs[i]);

		r = escaped ? buf_printf(&query, "&label=%s", escaped) : -1;
	}
	if (r == 0 && args_given(args, OPT_STATE)) {
		autofree char *escaped = client_escape(args->values[OPT_STATE]);

		r = escaped ? buf_printf(&query, "&state=%s", escaped) : -1;
	}
	if (r == 0 && args_given(args, OPT_SORT)) {
		autofree char *escaped = client_escape(args->values[OPT_SORT]);

		r = escaped ? buf_printf(&query, "&sort=%s", escaped) : -1;
	}
	if (r == 0 && buf_append(&query, "", 1) == 0)
		text = strdup((const char *)buf_bytes(&query));
	buf_done(&query);
	return text;
}

static bool any_has(const json_t *list, const char *key)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (json_object_get(item, key))
			return true;
	return false;
}

/* When VMs end and when they sleep is said where one of them does. */
static void print_vms(const struct cli *cli, const json_t *list)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	bool ends = any_has(list, "expires");
	bool sleeps = any_has(list, "sleeps");
	const json_t *vm;
	char age[32];
	size_t i;

	table_init(&table, "NAME", "STATE", "FOR", "IMAGE", "VCPUS", "MEMORY", "NETWORK", "IP",
		   "CREATED", ends || sleeps ? (ends ? "ENDS IN" : "SLEEPS IN") : NULL,
		   ends && sleeps ? "SLEEPS IN" : NULL, NULL);
	json_array_foreach (list, i, vm) {
		table_cell(&table, json_str(vm, "name"));
		table_cell(&table, json_str(vm, "state"));
		table_cell(&table, format_age(json_str(vm, "since"), now, age));
		table_cell(&table, json_str(vm, "image"));
		table_cellf(&table, "%lld", (long long)json_int(vm, "vcpus"));
		table_cellf(&table, "%lld MiB", (long long)json_int(vm, "memory_mib"));
		table_cell(&table, json_str(vm, "network"));
		table_cell(&table, json_str(vm, "ip"));
		table_cellf(&table, "%s ago", format_age(json_str(vm, "created"), now, age));
		if (ends)
			table_cell(&table, format_until(json_str(vm, "expires"), now, age));
		if (sleeps)
			table_cell(&table, format_until(json_str(vm, "sleeps"), now, age));
	}
	table_print(&table, stdout, cli->colour);
}

int cmd_vm_list(struct cli *cli, const struct args *args)
{
	autofree char *query = list_query(args);
	json_auto_t *list = NULL;
	int status = cli_connect(cli, args);

	if (status || !query)
		return status ? status : EXIT_FAILED;
	list = cli_list(cli, "/vms", query, &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	if (cli->quiet)
		return print_names(list);
	if (json_array_size(list) == 0 && isatty(STDOUT_FILENO))
		(void)fprintf(stderr, "no VMs yet; try: banger vm run --rm -- echo hello\n");
	else
		print_vms(cli, list);
	return 0;
}

int cmd_vm_show(struct cli *cli, const struct args *args)
{
	return show_each(cli, args, "/vms");
}

/* "/vms/web/wait"; the caller frees. */
static char *vm_path(const struct args *args, const char *suffix)
{
	autofree char *escaped = client_escape(args->positional[0]);
	char *path = NULL;

	if (!escaped || asprintf(&path, "/vms/%s%s", escaped, suffix) < 0)
		return NULL;
	return path;
}

/* { vm, data }, or base64 in place of data where it is no UTF-8 text: the names that frames of
 * output have. */
static int print_logs_json(const struct args *args, const struct client_reply *reply)
{
	json_auto_t *document = json_pack("{s:s}", "vm", args->positional[0]);
	json_t *text = json_stringn(reply->text, reply->text_len);

	if (text) {
		(void)json_object_set_new(document, "data", text);
	} else {
		autofree char *encoded = base64_encode(reply->text, reply->text_len);

		(void)json_object_set_new(document, "base64",
					  encoded ? json_string(encoded) : NULL);
	}
	return print_json(document);
}

/* Nothing is there: a VM that was cloned has not booted, so it has said nothing. */
static void say_no_logs(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = vm_path(args, "");
	struct error ignored = ERROR_INIT;
	const char *from;

	if (cli->quiet || !path ||
	    client_do(cli->client, &(struct client_request){ .method = "GET", .path = path },
		      &reply, &ignored) < 0)
		return;
	from = json_str(reply.json, "booted_from");
	if (*from && !streq(from, "cold"))
		(void)fprintf(stderr, "nothing on the console yet: this VM was cloned from a "
				      "template that had booted before; one made with --boot cold "
				      "boots for itself\n");
}

int cmd_vm_logs(struct cli *cli, const struct args *args)
{
	struct console console = { .filter = isatty(STDOUT_FILENO) != 0 };
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = {
		.method = "GET", .accept = "text/plain", .on_data = console_write, .data = &console
	};
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL;
	char tail[48] = "";
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (cli->json && args_given(args, OPT_FOLLOW)) {
		cli_say(cli, ERR_BAD_REQUEST, "--json and --follow exclude each other");
		return EXIT_USAGE;
	}
	if (cli->json)
		request.on_data = NULL;
	if (args_given(args, OPT_TAIL))
		(void)snprintf(tail, sizeof(tail), "&tail_bytes=%llu",
			       (unsigned long long)args->numbers[OPT_TAIL]);
	if (!escaped || asprintf(&path, "/vms/%s/logs?follow=%s%s", escaped,
				 args_given(args, OPT_FOLLOW) ? "true" : "false", tail) < 0)
		return EXIT_FAILED;
	request.path = path;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_logs_json(args, &reply);
	if (!console.written && !args_given(args, OPT_TAIL))
		say_no_logs(cli, args);
	return 0;
}

static const struct target_verb vm_delete = { "/vms", "VM", "DELETE", "", "deleting", true };

/* The verbs on several VMs: the second word of the command is the API's. */
int cmd_vm_verb(struct cli *cli, const struct args *args)
{
	const char *word = strchr(args->command->path, ' ') + 1;
	struct target_verb verb = { "/vms", "VM", "POST", NULL, word, true };
	char suffix[64];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	(void)snprintf(suffix, sizeof(suffix), "/%s%s%s", word,
		       args_given(args, OPT_SIGNAL) ? "?signal=" : "",
		       args_given(args, OPT_SIGNAL) ? args->values[OPT_SIGNAL] : "");
	verb.suffix = suffix;
	status = targets_run(cli, streq(word, "delete") ? &vm_delete : &verb, args->positional,
			     args->n_positional);
	if (streq(word, "delete"))
		ssh_forget(args);
	return status;
}

static int print_vm(const struct cli *cli, const json_t *vm)
{
	if (cli->json)
		return print_json(vm);
	(void)printf("%s\n", json_str(vm, "name"));
	return 0;
}

int cmd_vm_set(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = vm_path(args, "");
	json_auto_t *body = shape_body(args);
	struct client_request request = { .method = "PATCH", .path = path, .body = body };
	int status = cli_connect(cli, args);

	if (status || !path || !body)
		return status ? status : EXIT_FAILED;
	if (json_object_size(body) == 0) {
		cli_say(cli, ERR_BAD_REQUEST, "nothing to change; see banger help vm set");
		return EXIT_USAGE;
	}
	return cli_request(cli, &request, &reply, &status) ? print_vm(cli, reply.json) : status;
}

int cmd_vm_wait(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *escaped =
		client_escape(args_given(args, OPT_STATE) ? args->values[OPT_STATE] : "");
	autofree char *path = NULL, *full = NULL;
	struct client_request request = { .method = "GET" };
	unsigned long long timeout_s =
		args_given(args, OPT_TIMEOUT) ? (unsigned long long)args->numbers[OPT_TIMEOUT] : 60;
	int status = cli_connect(cli, args);

	path = vm_path(args, "/wait");
	if (status || !path || !escaped ||
	    asprintf(&full, "%s?timeout_s=%llu%s%s", path, timeout_s, *escaped ? "&state=" : "",
		     escaped) < 0)
		return status ? status : EXIT_FAILED;
	request.path = full;
	return cli_request(cli, &request, &reply, &status) ? print_vm(cli, reply.json) : status;
}

/* Those that neither run nor are on the way to it. */
static json_t *idle_vms(const json_t *list)
{
	static const char *const idle[] = { "created", "stopped", "failed" };
	json_t *chosen = json_array(), *vm;
	size_t i;

	json_array_foreach (list, i, vm) {
		for (size_t j = 0; j < ARRAY_SIZE(idle); j++) {
			if (streq(json_str(vm, "state"), idle[j]))
				(void)json_array_append(chosen, vm);
		}
	}
	return chosen;
}

int cmd_vm_prune(struct cli *cli, const struct args *args)
{
	const char *names[ARGS_MAX];
	json_auto_t *list = NULL, *chosen = NULL;
	char answer[16] = "";
	size_t n;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	list = cli_list(cli, "/vms", "", &status);
	if (!list)
		return status;
	chosen = idle_vms(list);
	if (json_array_size(chosen) == 0)
		return 0;
	if (!args_given(args, OPT_FORCE)) {
		print_vms(cli, chosen);
		if (!isatty(STDIN_FILENO)) {
			cli_say(cli, ERR_STATE,
				"not deleted: nobody to ask; see banger vm prune --force");
			return EXIT_FAILED;
		}
		(void)printf("Delete these VMs and their disks? [y/N] ");
		(void)fflush(stdout);
		if (read(STDIN_FILENO, answer, sizeof(answer) - 1) <= 0 ||
		    (answer[0] != 'y' && answer[0] != 'Y'))
			return EXIT_FAILED;
	}
	while ((n = json_array_size(chosen)) > 0 && status == 0) {
		n = n < ARGS_MAX ? n : ARGS_MAX;
		for (size_t i = 0; i < n; i++)
			names[i] = json_str(json_array_get(chosen, i), "name");
		status = targets_run(cli, &vm_delete, names, n);
		for (size_t i = 0; i < n; i++)
			(void)json_array_remove(chosen, 0);
	}
	return status;
}
