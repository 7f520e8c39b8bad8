/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm run and vm exec. The exit status is the guest command's own; whatever fails around it is
 * EXIT_OURS. With --rm the VM is deleted at the end: the request that creates it is answered before
 * a signal counts, so that there is always an address to delete, and the delete is a request of its
 * own that the signal does not touch. Where no delete can be sent (this program or the server was
 * killed), the VM's own end comes: see lease.h.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/frames.h"
#include "cli/lease.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/run.h"
#include "cli/shape.h"
#include "cli/shell.h"
#include "cli/workspace.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/id.h"

enum { STDIN_MAX = 1024 * 1024 };

/* EXIT_FAILED means "the guest's command ended with 1" here, so ours gets another number. */
static int our_status(int status)
{
	return status == EXIT_FAILED ? EXIT_OURS : status;
}

/* All of standard input as text. New reference or NULL with err set. */
static json_t *read_stdin(struct error *err)
{
	struct buf input CLEANUP(buf_done) = { 0 };
	json_t *text;
	ssize_t n;

	buf_init(&input, STDIN_MAX);
	for (;;) {
		uint8_t *room = buf_reserve(&input, 1);

		if (!room) {
			(void)error_set(err, ERR_TOO_LARGE, "standard input is more than 1 MiB");
			return NULL;
		}
		n = read(STDIN_FILENO, room, 1);
		if (n <= 0)
			break;
		buf_commit(&input, (size_t)n);
	}
	text = json_stringn((const char *)buf_bytes(&input), buf_len(&input));
	if (!text)
		(void)error_set(err, ERR_INVALID, "standard input is no UTF-8 text");
	return text;
}

/* The body of POST /vms/{vm}/exec; `cwd` (may be NULL) counts where none was given. New reference,
 * or NULL with err set. */
static json_t *exec_body(const struct args *args, const char *cwd, struct error *err)
{
	static const enum option_id taken[] = { OPT_ENV, OPT_CWD, OPT_USER, OPT_TIMEOUT };
	json_auto_t *body = json_object(), *all = args_body(args), *argv = json_array();
	json_t *input;

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		const char *field = option_specs[taken[i]].field;
		json_t *value = json_object_get(all, field);

		if (value && json_object_set(body, field, value) < 0)
			all = NULL;
	}
	for (size_t i = 0; i < args->n_rest; i++) {
		if (json_array_append_new(argv, json_string(args->rest[i])) < 0) {
			(void)error_set(err, ERR_INVALID,
					"argument %zu of the command is no UTF-8 text", i);
			return NULL;
		}
	}
	/* Without a command the image's own is run. */
	if (!all || (args->n_rest > 0 && json_object_set(body, "argv", argv) < 0)) {
		(void)error_set(err, ERR_INVALID, "an option is no UTF-8 text");
		return NULL;
	}
	if (cwd && !json_object_get(body, "cwd"))
		(void)json_object_set_new(body, "cwd", json_string(cwd));
	if (args_given(args, OPT_STDIN)) {
		input = read_stdin(err);
		if (!input)
			return NULL;
		(void)json_object_set_new(body, "stdin", input);
	}
	return json_incref(body);
}

/* The JSON reply as it is, for --json. */
static int exec_json(struct cli *cli, struct client_request *request)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	const json_t *code;
	int status;

	if (!cli_request(cli, request, &reply, &status))
		return our_status(status);
	if (print_json(reply.json))
		return EXIT_OURS;
	code = json_object_get(reply.json, "exit_code");
	if (json_is_integer(code))
		return (int)(json_integer_value(code) & 0xff);
	return 128 + (int)json_int(reply.json, "signal");
}

int exec_body_in(struct cli *cli, const json_t *body, const char *vm_path)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct frames frames CLEANUP(frames_done) = { 0 };
	struct error err = ERROR_INIT;
	autofree char *path = NULL;
	struct client_request request = { .method = "POST", .body = body };

	frames_init(&frames, STDOUT_FILENO, STDERR_FILENO);
	if (asprintf(&path, "%s/exec", vm_path) < 0)
		return EXIT_OURS;
	request.path = path;
	if (cli->json)
		return exec_json(cli, &request);
	request.accept = "application/x-ndjson";
	request.on_data = frames_take;
	request.data = &frames;
	if (client_do(cli->client, &request, &reply, &err) < 0)
		return our_status(
			cli_fail(cli, frames.error.code != ERR_NONE ? &frames.error : &err));
	if (reply.status >= 400)
		return our_status(cli_fail_reply(cli, &reply));
	if (frames.problem) {
		cli_show_problem(cli, frames.problem);
		return EXIT_OURS;
	}
	if (!frames.ended) {
		cli_say(cli, ERR_UPSTREAM, "the server broke off before the command ended");
		return EXIT_OURS;
	}
	if (frames.timed_out)
		cli_say(cli, ERR_TIMEOUT, "the command took too long and was killed");
	return frames.exit_code;
}

/* Runs the command line's command. */
static int exec_in(struct cli *cli, const struct args *args, const char *vm_path, const char *cwd)
{
	struct error err = ERROR_INIT;
	json_auto_t *body = exec_body(args, cwd, &err);

	if (!body)
		return our_status(cli_fail(cli, &err));
	return exec_body_in(cli, body, vm_path);
}

/* Starts it as an exec of its own. New reference to its record, or NULL with *ret_status. */
static json_t *exec_detached(struct cli *cli, const struct args *args, const char *vm_path,
			     const char *cwd, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error err = ERROR_INIT;
	json_auto_t *body = exec_body(args, cwd, &err);
	unsigned int rows, cols;
	autofree char *path = NULL;
	struct client_request request = { .method = "POST", .body = body };

	*ret_status = EXIT_OURS;
	if (!body) {
		*ret_status = our_status(cli_fail(cli, &err));
		return NULL;
	}
	if (args_given(args, OPT_TTY)) {
		(void)json_object_set_new(body, "tty", json_true());
		if (terminal_size(&rows, &cols)) {
			(void)json_object_set_new(body, "rows", json_integer(rows));
			(void)json_object_set_new(body, "cols", json_integer(cols));
		}
	}
	if (asprintf(&path, "%s/execs", vm_path) < 0)
		return NULL;
	request.path = path;
	if (!cli_request(cli, &request, &reply, ret_status)) {
		*ret_status = our_status(*ret_status);
		return NULL;
	}
	return TAKE_PTR(reply.json);
}

static int exec_and_leave(struct cli *cli, const struct args *args, const char *vm_path,
			  const char *cwd)
{
	int status;
	json_auto_t *record = exec_detached(cli, args, vm_path, cwd, &status);

	if (!record)
		return status;
	if (cli->json)
		return print_json(record);
	(void)printf("%s\n", json_str(record, "id"));
	return 0;
}

static int exec_on_terminal(struct cli *cli, const struct args *args, const char *vm_path,
			    const char *cwd)
{
	autofree char *path = NULL;
	int status;
	json_auto_t *record = exec_detached(cli, args, vm_path, cwd, &status);

	if (!record)
		return status;
	if (asprintf(&path, "%s/terminal?session=%s&from=0", vm_path, json_str(record, "id")) < 0)
		return EXIT_OURS;
	return shell_run(cli, path, false);
}

int cmd_vm_exec(struct cli *cli, const struct args *args)
{
	autofree char *escaped = client_escape(args->positional[0]);
	autofree char *path = NULL, *cwd = NULL;
	int status = cli_connect(cli, args);

	if (status)
		return our_status(status);
	if (!escaped || asprintf(&path, "/vms/%s", escaped) < 0)
		return EXIT_OURS;
	cwd = workspace_for_exec(cli, args, path, &status);
	if (status)
		return our_status(status);
	if (args_given(args, OPT_DETACH))
		return exec_and_leave(cli, args, path, cwd);
	return args_given(args, OPT_TTY) ? exec_on_terminal(cli, args, path, cwd)
					 : exec_in(cli, args, path, cwd);
}

static void delete_vm(struct cli *cli, const char *location)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "DELETE", .path = location, .wait_s = 60 };
	struct error err = ERROR_INIT;

	request.finish = true;
	if (client_do(cli->client, &request, &reply, &err) < 0)
		(void)cli_fail(cli, &err);
	else if (reply.status >= 400 && reply.status != 404)
		(void)cli_fail_reply(cli, &reply);
}

static int check_run(const struct cli *cli, const struct args *args)
{
	const char *wrong = NULL;

	if (args_given(args, OPT_RM) && args_given(args, OPT_DETACH))
		wrong = "--rm and --detach exclude each other";
	else if (args_given(args, OPT_DETACH) && args->n_rest > 0)
		wrong = "--detach takes no command";
	else if (args->n_positional == 0 &&
		 (args_given(args, OPT_DRY_RUN) || args_given(args, OPT_BRANCH) ||
		  args_given(args, OPT_FROM_COMMIT) || args_given(args, OPT_MODE) ||
		  args_given(args, OPT_UNTRACKED)))
		wrong = "options of a workspace need its path: banger vm run PATH";
	if (!wrong)
		return 0;
	cli_say(cli, ERR_BAD_REQUEST, "%s", wrong);
	return EXIT_USAGE;
}

/* Says on a terminal how the VM came up. */
static void say_ready(const struct cli *cli, const json_t *vm, int64_t begun_us)
{
	char took[32];

	if (!cli->progress)
		return;
	(void)fprintf(stderr, "vm %s: %lld vcpu, %lld MiB, ready in %s\n", json_str(vm, "name"),
		      (long long)json_int(vm, "vcpus"), (long long)json_int(vm, "memory_mib"),
		      format_duration_ms((clock_mono_us() - begun_us) / 1000, took));
}

static void say_stays(const struct cli *cli, const char *name)
{
	if (cli->progress)
		(void)fprintf(
			stderr,
			"vm %s keeps running: banger vm exec %s COMMAND, banger vm delete %s\n",
			name, name, name);
}

/* The name when none is given: one that can be told from others at a glance. */
static int set_name(const struct args *args, json_t *body)
{
	char name[16];

	if (args_given(args, OPT_NAME))
		return 0;
	(void)snprintf(name, sizeof(name), "run-%s", id_new().s + ID_LEN - 6);
	return json_object_set_new(body, "name", json_string(name));
}

/* With --rm the VM is born with an end, however long the caller lets it live. */
static int set_end(const struct args *args, json_t *body)
{
	if (!args_given(args, OPT_RM) ||
	    (args->numbers[OPT_TTL] && args->numbers[OPT_TTL] <= LEASE_S))
		return 0;
	return json_object_set_new(body, "ttl_s", json_integer(LEASE_S));
}

/* Moves that end on. NULL where there is nothing to move, or no lease could be had: said then. */
static struct lease *keep_vm(struct cli *cli, const struct args *args, const char *location,
			     int64_t begun_us)
{
	int64_t ttl_s = (int64_t)args->numbers[OPT_TTL];
	struct error err = ERROR_INIT;
	struct lease *lease = NULL;

	if (!args_given(args, OPT_RM) || location[0] != '/' || (ttl_s && ttl_s <= LEASE_S))
		return NULL;
	if (ttl_s > INT64_MAX / 2000000)
		ttl_s = 0;
	if (lease_begin(cli->client, location, ttl_s ? begun_us + ttl_s * 1000000 : 0,
			LEASE_RENEW_MS, &lease, &err) < 0)
		(void)cli_fail(cli, &err);
	return lease;
}

/* Makes the VM, puts the workspace there and runs the command; the lease lasts no longer than both.
 */
static int make_and_run(struct cli *cli, const struct args *args, struct workspace *workspace,
			const json_t *body, struct outcome *ret_outcome, bool *ret_made)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "POST", .path = "/vms", .body = body };
	int64_t begun_us = clock_mono_us();
	struct lease *lease = NULL;
	char what[96];
	int status;

	(void)snprintf(what, sizeof(what), "vm %s", json_str(body, "name"));
	*ret_made = false;
	if (operation_begin(cli, &request, &reply, ret_outcome)) {
		lease = keep_vm(cli, args, ret_outcome->location, begun_us);
		*ret_made = operation_end(cli, &request, what, &reply, ret_outcome);
	}
	status = our_status(ret_outcome->status);
	if (*ret_made) {
		say_ready(cli, ret_outcome->result, begun_us);
		if (workspace->root)
			status = our_status(workspace_put(cli, workspace, ret_outcome->location,
							  WORKSPACE_PATH, "keep"));
		if (status)
			; /* said by whoever failed */
		else if (args->n_rest > 0 || args_given(args, OPT_RM))
			status = exec_in(cli, args, ret_outcome->location,
					 workspace->root ? WORKSPACE_PATH : NULL);
		else if (cli->json)
			status = print_json(ret_outcome->result);
		else
			(void)printf("%s\n", json_str(body, "name"));
	}
	lease_end(lease);
	return status;
}

int cmd_vm_run(struct cli *cli, const struct args *args)
{
	static const char *const not_shape[] = { "env", "cwd", "user", "timeout_s" };
	struct workspace_options options = workspace_options(args);
	struct workspace workspace CLEANUP(workspace_done) = { .root = NULL };
	struct error err = ERROR_INIT;
	struct outcome outcome CLEANUP(outcome_done) = { 0 };
	json_auto_t *body = shape_body(args);
	bool made;
	int status = check_run(cli, args);

	if (status)
		return status;
	if (args->n_positional > 0 &&
	    workspace_open(args->positional[0], &options, &workspace, &err) < 0)
		return our_status(cli_fail(cli, &err));
	if (args_given(args, OPT_DRY_RUN)) {
		workspace_print(&workspace);
		return 0;
	}
	for (size_t i = 0; body && i < ARRAY_SIZE(not_shape); i++)
		(void)json_object_del(body, not_shape[i]);
	status = cli_connect(cli, args);
	if (status)
		return our_status(status);
	if (!body || set_name(args, body) < 0 || set_end(args, body) < 0) {
		cli_say(cli, ERR_INVALID, "an option is no UTF-8 text");
		return EXIT_OURS;
	}
	status = make_and_run(cli, args, &workspace, body, &outcome, &made);
	if (args_given(args, OPT_RM) && outcome.location[0] == '/')
		delete_vm(cli, outcome.location);
	else if (made)
		say_stays(cli, json_str(body, "name"));
	return status;
}
