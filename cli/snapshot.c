/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot create, list, show, export, import, delete; vm fork and vm restore. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/shape.h"
#include "cli/targets.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

/* POST of `body` to a sub-resource of the VM that is the first argument. */
static bool post_to_vm(struct cli *cli, const struct args *args, const char *suffix,
		       const json_t *body, struct outcome *ret_outcome)
{
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL;
	struct client_request request = { .method = "POST", .body = body };
	char what[96];

	*ret_outcome = (struct outcome){ .status = EXIT_FAILED };
	if (!body || !escaped || asprintf(&path, "/vms/%s%s", escaped, suffix) < 0)
		return false;
	request.path = path;
	(void)snprintf(what, sizeof(what), "vm %s", args->positional[0]);
	return operation_run(cli, &request, what, ret_outcome);
}

int cmd_snapshot_create(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET" };
	json_auto_t *body = args_body(args);
	char path[128];
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (args_given(args, OPT_NO_MEMORY))
		(void)json_object_set_new(body, "memory", json_false());
	if (!post_to_vm(cli, args, "/snapshots", body, &outcome))
		return outcome.status;
	/* The operation tells the id; the resource itself is asked for. */
	(void)snprintf(path, sizeof(path), "/snapshots/%s", json_str(outcome.result, "snapshot"));
	request.path = path;
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(reply.json);
	(void)printf("%s\n", json_str(reply.json, "id"));
	return 0;
}

int cmd_vm_restore(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = json_pack("{s:s}", "snapshot", args->positional[1]);
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!post_to_vm(cli, args, "/restore", body, &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	(void)printf("%s\n", args->positional[0]);
	return 0;
}

int cmd_vm_fork(struct cli *cli, const struct args *args)
{
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = args_body(args);
	const json_t *child;
	size_t i;
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (!post_to_vm(cli, args, "/fork", body, &outcome))
		return outcome.status;
	if (cli->json)
		return print_json(outcome.result);
	json_array_foreach (json_object_get(outcome.result, "children"), i, child) {
		char problem[256];

		if (*json_str(child, "error")) {
			(void)fprintf(
				stderr, "banger: copy %zu: %s\n", i + 1,
				text_harmless(json_str(child, "error"), problem, sizeof(problem)));
			status = EXIT_FAILED;
		} else {
			(void)printf("%s\n", json_str(child, "name"));
		}
	}
	return status;
}

int cmd_snapshot_list(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct table table CLEANUP(table_done) = { 0 };
	autofree char *escaped = client_escape(args->n_positional ? args->positional[0] : "");
	autofree char *path = NULL;
	struct client_request request = { .method = "GET", .path = "/snapshots" };
	const json_t *snapshot;
	char text[32];
	size_t i;
	int status = cli_connect(cli, args);

	if (status || !escaped)
		return status ? status : EXIT_FAILED;
	if (args->n_positional) {
		if (asprintf(&path, "/vms/%s/snapshots", escaped) < 0)
			return EXIT_FAILED;
		request.path = path;
	}
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(json_object_get(reply.json, "items"));
	table_init(&table, "ID", "NAME", "VM", "MEMORY", "SIZE", "CREATED", NULL);
	json_array_foreach (json_object_get(reply.json, "items"), i, snapshot) {
		table_cell(&table, json_str(snapshot, "id"));
		table_cell(&table, json_str(snapshot, "name"));
		table_cell(&table, json_str(snapshot, "vm_name"));
		table_cell(&table, json_is_true(json_object_get(snapshot, "memory")) ? "yes" : "");
		table_cell(&table, format_bytes((uint64_t)json_int(snapshot, "size_bytes"), text));
		table_cellf(&table, "%s ago",
			    format_age(json_str(snapshot, "created"), clock_wall_ms(), text));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_snapshot_show(struct cli *cli, const struct args *args)
{
	return show_each(cli, args, "/snapshots");
}

/* --- as a stream --- */

static int write_out(void *data, const char *bytes, size_t len)
{
	const int *fd = data;

	return write_all(*fd, bytes, len);
}

static ssize_t read_in(void *data, char *to, size_t max)
{
	const int *fd = data;
	ssize_t n;

	do
		n = read(*fd, to, max);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* A file that is not complete does not stay. */
int cmd_snapshot_export(struct cli *cli, const struct args *args)
{
	const char *file = args->n_positional > 1 ? args->positional[1] : NULL;
	autofree char *escaped = client_escape(args->positional[0]);
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = NULL;
	autoclose int fd = -1;
	int out = STDOUT_FILENO;
	struct client_request request = {
		.method = "GET", .accept = "application/x-tar", .on_data = write_out, .data = &out
	};
	int status = cli_connect(cli, args);

	if (status || !escaped || asprintf(&path, "/snapshots/%s/archive", escaped) < 0)
		return status ? status : EXIT_FAILED;
	if (!file && isatty(STDOUT_FILENO)) {
		cli_say(cli, ERR_INVALID,
			"the archive is no text for a terminal: name a file, or "
			"send it into another command");
		return EXIT_FAILED;
	}
	if (file) {
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0) {
			cli_say(cli, ERR_EXISTS, "make %s: %s", file, strerrordesc_np(errno));
			return EXIT_FAILED;
		}
		out = fd;
	}
	request.path = path;
	if (!cli_request(cli, &request, &reply, &status) && file)
		(void)unlink(file);
	return status;
}

int cmd_snapshot_import(struct cli *cli, const struct args *args)
{
	const char *file = args->n_positional ? args->positional[0] : NULL;
	autoclose int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	int in = file ? fd : STDIN_FILENO;
	struct client_request request = { .method = "POST",
					  .path = "/snapshots",
					  .on_read = read_in,
					  .read_data = &in,
					  .content_type = "application/x-tar",
					  .length = -1 };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (in < 0) {
		cli_say(cli, ERR_NOT_FOUND, "open %s: %s", file, strerrordesc_np(errno));
		return EXIT_FAILED;
	}
	if (!cli_request(cli, &request, &reply, &status))
		return status;
	if (cli->json)
		return print_json(reply.json);
	(void)printf("%s\n", json_str(reply.json, "id"));
	return 0;
}

int cmd_snapshot_delete(struct cli *cli, const struct args *args)
{
	struct target_verb verb = { "/snapshots", "snapshot", "DELETE", "", "deleting", false };
	int status = cli_connect(cli, args);

	return status ? status : targets_run(cli, &verb, args->positional, args->n_positional);
}
