/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: one CI job. The exit status is the command's own; what fails around it is EXIT_OURS. A
 * signal cancels the run and waits for its VM to go.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/frames.h"
#include "cli/output.h"
#include "cli/shape.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "lib/proc/proc.h"

#define WORKSPACE "/workspace"

struct job {
	struct cli *cli;
	const struct args *args;
	char path[64]; /* "/runs/<id>" */
};

/* --- the request --- */

/* Each --artifact GUEST=FILE; the names of the guest. */
static json_t *artifacts_of(const struct args *args)
{
	json_t *list = json_array();

	for (size_t i = 0; i < args->n_pairs; i++) {
		const char *eq = strchr(args->pairs[i], '=');

		if (args->pair_of[i] == OPT_ARTIFACT && eq)
			(void)json_array_append_new(
				list, json_stringn(args->pairs[i], (size_t)(eq - args->pairs[i])));
	}
	return list;
}

static json_t *job_body(const struct args *args)
{
	json_auto_t *body = shape_body(args);
	json_auto_t *argv = json_array();
	json_auto_t *artifacts = artifacts_of(args);

	for (size_t i = 0; i < args->n_rest; i++)
		if (json_array_append_new(argv, json_string(args->rest[i])) < 0)
			return NULL;
	if (!body || json_object_set(body, "argv", argv) < 0)
		return NULL;
	if (json_array_size(artifacts) > 0)
		(void)json_object_set(body, "artifacts", artifacts);
	if (args_given(args, OPT_WORKSPACE))
		(void)json_object_set_new(body, "workspace", json_pack("{s:s}", "path", WORKSPACE));
	if (args_given(args, OPT_KEEP))
		(void)json_object_set_new(body, "keep", json_string("on_failure"));
	return json_incref(body);
}

static int submit(struct job *job, struct error *err)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	json_auto_t *body = job_body(job->args);
	/* Known to the end, so that there is always an address to cancel. */
	struct client_request request = {
		.method = "POST", .path = "/runs", .body = body, .finish = true
	};
	int status;

	if (!body) {
		(void)error_set(err, ERR_INVALID, "an argument is no UTF-8 text");
		return cli_fail(job->cli, err);
	}
	if (!cli_request(job->cli, &request, &reply, &status))
		return status;
	(void)snprintf(job->path, sizeof(job->path), "/runs/%s", json_str(reply.json, "id"));
	return 0;
}

static void cancel(struct job *job)
{
	struct client_reply gone CLEANUP(client_reply_done) = { 0 };
	struct client_reply ended CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "DELETE", .path = job->path, .finish = true };
	struct client_request await = {
		.method = "GET", .path = job->path, .wait_s = 60, .finish = true
	};
	struct error err = ERROR_INIT;

	if (client_do(job->cli->client, &request, &gone, &err) < 0 ||
	    client_do(job->cli->client, &await, &ended, &err) < 0)
		(void)cli_fail(job->cli, &err);
}

/* --- the workspace --- */

/* tar writes the folder into a pipe, and the pipe is what is sent. */
static int start_tar(const char *folder, struct proc *ret_proc, int *ret_fd, struct error *err)
{
	static const char *const tars[] = { "/usr/bin/tar", "/bin/tar" };
	const char *argv[] = {
		tars[access(tars[0], X_OK) != 0], "-C", folder, "-cf", "-", ".", NULL
	};
	struct proc_spec spec = PROC_SPEC_INIT;
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "pipe");
	spec.argv = argv;
	spec.stdout_fd = fds[1];
	spec.stderr_fd = STDERR_FILENO;
	r = proc_spawn(&spec, ret_proc, err);
	close_keep_errno(fds[1]);
	if (r < 0)
		close_keep_errno(fds[0]);
	else
		*ret_fd = fds[0];
	return r;
}

static ssize_t read_archive(void *data, char *to, size_t max)
{
	return read(*(const int *)data, to, max);
}

static int send_workspace(struct job *job, struct error *err)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct proc tar CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int fd = -1;
	autofree char *path = NULL;
	struct client_request request = { .method = "PUT",
					  .on_read = read_archive,
					  .read_data = &fd,
					  .content_type = "application/x-tar",
					  .length = -1 };
	int status = 0;
	int r = start_tar(job->args->values[OPT_WORKSPACE], &tar, &fd, err);

	if (r < 0)
		return cli_fail(job->cli, err);
	if (asprintf(&path, "%s/workspace", job->path) < 0)
		return EXIT_OURS;
	request.path = path;
	if (!cli_request(job->cli, &request, &reply, &status))
		return status;
	if (proc_wait(&tar, -1, -1, &status) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		(void)error_set(err, ERR_INVALID, "tar could not read all of %s",
				job->args->values[OPT_WORKSPACE]);
		return cli_fail(job->cli, err);
	}
	return 0;
}

/* --- artefacts --- */

static int write_piece(void *data, const char *bytes, size_t len)
{
	return write_all(*(const int *)data, bytes, len);
}

static int fetch(struct job *job, const char *guest, const char *file)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autoclose int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	autofree char *escaped = client_escape(guest);
	autofree char *path = NULL;
	struct client_request request = {
		.method = "GET", .accept = "application/x-tar", .on_data = write_piece, .data = &fd
	};
	struct error err = ERROR_INIT;
	int status = 0;

	if (fd < 0) {
		(void)error_errno(&err, -errno, "%s", file);
		return cli_fail(job->cli, &err);
	}
	if (!escaped || asprintf(&path, "%s/artifacts?path=%s", job->path, escaped) < 0)
		return EXIT_FAILED;
	request.path = path;
	return cli_request(job->cli, &request, &reply, &status) ? 0 : status;
}

static int fetch_all(struct job *job)
{
	int worst = 0;

	for (size_t i = 0; i < job->args->n_pairs; i++) {
		const char *eq = strchr(job->args->pairs[i], '=');
		autofree char *guest = NULL;
		int status;

		if (job->args->pair_of[i] != OPT_ARTIFACT || !eq)
			continue;
		guest = strndup(job->args->pairs[i], (size_t)(eq - job->args->pairs[i]));
		status = guest ? fetch(job, guest, eq + 1) : EXIT_FAILED;
		worst = status ? status : worst;
	}
	return worst;
}

/* --- the output --- */

/* The command's exit status, or EXIT_OURS with the reason shown. */
static int follow(struct job *job)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct frames frames CLEANUP(frames_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *path = NULL;
	struct client_request request = { .method = "GET",
					  .accept = "application/x-ndjson",
					  .on_data = frames_take,
					  .data = &frames };

	frames_init(&frames, STDOUT_FILENO, STDERR_FILENO);
	if (asprintf(&path, "%s/output", job->path) < 0)
		return EXIT_OURS;
	request.path = path;
	if (client_do(job->cli->client, &request, &reply, &err) < 0) {
		/* Nobody takes the output any more, so nobody waits for the end. */
		if (frames.error.code != ERR_NONE)
			cancel(job);
		return cli_fail(job->cli, frames.error.code != ERR_NONE ? &frames.error : &err);
	}
	if (reply.status >= 400)
		return cli_fail_reply(job->cli, &reply);
	if (frames.problem) {
		cli_show_problem(job->cli, frames.problem);
		return EXIT_OURS;
	}
	if (!frames.ended) {
		cli_say(job->cli, ERR_UPSTREAM, "the server broke off before the run ended");
		return EXIT_OURS;
	}
	if (frames.timed_out)
		cli_say(job->cli, ERR_TIMEOUT, "the command took too long and was killed");
	return frames.exit_code;
}

static int show_json(struct job *job)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "GET", .path = job->path };
	int status;

	if (!cli_request(job->cli, &request, &reply, &status))
		return status;
	return print_json(reply.json);
}

int cmd_run(struct cli *cli, const struct args *args)
{
	struct job job = { .cli = cli, .args = args };
	struct error err = ERROR_INIT;
	int status = cli_connect(cli, args);
	int code;

	if (args->n_rest == 0) {
		cli_say(cli, ERR_BAD_REQUEST, "run wants a command: banger run -- COMMAND");
		return EXIT_USAGE;
	}
	if (status == 0)
		status = submit(&job, &err);
	if (status)
		return status == EXIT_FAILED ? EXIT_OURS : status;
	if (args_given(args, OPT_DETACH)) {
		(void)printf("%s\n", job.path + strlen("/runs/"));
		return 0;
	}
	code = args_given(args, OPT_WORKSPACE) ? send_workspace(&job, &err) : 0;
	if (code == EXIT_FAILED)
		code = EXIT_OURS;
	if (code == 0)
		code = follow(&job);
	if (client_signal(cli->client) || code == EXIT_OURS)
		cancel(&job);
	else if (fetch_all(&job) && code == 0)
		code = EXIT_OURS;
	if (cli->json && show_json(&job))
		return EXIT_OURS;
	return code;
}

/* --- runs there are and were --- */

static int print_runs(const struct cli *cli, const json_t *list)
{
	struct table table CLEANUP(table_done) = { 0 };
	int64_t now = clock_wall_ms();
	const json_t *run;
	char text[32];
	size_t i;

	table_init(&table, "ID", "STATE", "PHASE", "EXIT", "TOOK", "BEGUN", NULL);
	json_array_foreach (list, i, run) {
		table_cell(&table, json_str(run, "id"));
		table_cell(&table, json_str(run, "state"));
		if (json_object_get(run, "position"))
			table_cellf(&table, "%s, no. %d", json_str(run, "phase"),
				    (int)json_int(run, "position"));
		else
			table_cell(&table, json_str(run, "phase"));
		if (json_is_integer(json_object_get(run, "exit_code")))
			table_cellf(&table, "%d", (int)json_int(run, "exit_code"));
		else
			table_cell(&table, "");
		if (json_object_get(run, "duration_ms"))
			table_cell(&table, format_duration_ms(json_int(run, "duration_ms"), text));
		else
			table_cell(&table, "");
		table_cellf(&table, "%s ago", format_age(json_str(run, "created"), now, text));
	}
	table_print(&table, stdout, cli->colour);
	return 0;
}

int cmd_run_list(struct cli *cli, const struct args *args)
{
	json_auto_t *list = NULL;
	char query[160] = "";
	int status = cli_connect(cli, args);

	if (status)
		return status;
	if (args_given(args, OPT_STATE)) {
		autofree char *state = client_escape(args->values[OPT_STATE]);

		(void)snprintf(query, sizeof(query), "&state=%.100s", state ? state : "");
	}
	list = cli_list(cli, "/runs", query, &status);
	if (!list)
		return status;
	if (cli->json)
		return print_json(list);
	return cli->quiet ? print_names(list) : print_runs(cli, list);
}

int cmd_run_show(struct cli *cli, const struct args *args)
{
	return show_each(cli, args, "/runs");
}

static bool address(struct job *job)
{
	autofree char *escaped = client_escape(job->args->positional[0]);

	return escaped &&
	       snprintf(job->path, sizeof(job->path), "/runs/%s", escaped) < (int)sizeof(job->path);
}

int cmd_run_output(struct cli *cli, const struct args *args)
{
	struct job job = { .cli = cli, .args = args };
	int status = cli_connect(cli, args);

	if (status)
		return status;
	status = address(&job) ? follow(&job) : EXIT_OURS;
	return status == EXIT_FAILED && client_signal(cli->client) ? EXIT_OURS : status;
}

int cmd_run_cancel(struct cli *cli, const struct args *args)
{
	return cancel_each(cli, args, "/runs");
}
