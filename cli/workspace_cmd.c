/* SPDX-License-Identifier: Apache-2.0 */
/* workspace: a repository of this host into a VM, and the changes made there back as a patch. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest_file.h"
#include "cli/output.h"
#include "cli/workspace.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

static char *vm_path(const struct args *args)
{
	autofree char *vm = client_escape(args->positional[0]);
	char *path = NULL;

	return vm && asprintf(&path, "/vms/%s", vm) >= 0 ? path : NULL;
}

/* The guest's folder must not be there yet, unless --force is given: then it goes. */
static int check_target(struct cli *cli, const struct args *args, const char *vm, const char *path)
{
	char type[8] = "";
	int status = args_given(args, OPT_FORCE) ? 0 : guest_file_look(cli, vm, path, type, NULL);

	if (status || !type[0])
		return status;
	(void)fprintf(
		stderr,
		"banger: %s is there already in the guest\ntry: --force to replace it, changes "
		"made there included\n",
		path);
	return EXIT_FAILED;
}

int cmd_workspace_prepare(struct cli *cli, const struct args *args)
{
	struct workspace w CLEANUP(workspace_done) = { .root = NULL };
	const char *path =
		args_given(args, OPT_GUEST_PATH) ? args->values[OPT_GUEST_PATH] : WORKSPACE_PATH;
	const char *source = args->n_positional > 1 ? args->positional[1] : ".";
	struct workspace_options options = workspace_options(args);
	autofree char *vm = vm_path(args);
	struct error err = ERROR_INIT;
	int status;

	if (workspace_open(source, &options, &w, &err) < 0)
		return cli_fail(cli, &err);
	if (args_given(args, OPT_DRY_RUN)) {
		workspace_print(&w);
		return 0;
	}
	status = cli_connect(cli, args);
	if (status || !vm)
		return status ? status : EXIT_FAILED;
	status = check_target(cli, args, vm, path);
	if (status == 0)
		status = workspace_put(cli, &w, vm, path,
				       args_given(args, OPT_FORCE) ? "replace" : "refuse");
	if (status == 0)
		(void)printf("%s\n", path);
	return status;
}

int cmd_workspace_show(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *vm = vm_path(args);
	autofree char *path = NULL;
	struct client_request request = { .method = "GET" };
	int status = cli_connect(cli, args);

	if (status || !vm || asprintf(&path, "%s/workspace", vm) < 0)
		return status ? status : EXIT_FAILED;
	request.path = path;
	return cli_request(cli, &request, &reply, &status) ? print_json(reply.json) : status;
}

static int print_bytes(void *data, const char *bytes, size_t len)
{
	(void)data;
	return write_all(STDOUT_FILENO, bytes, len);
}

int cmd_workspace_export(struct cli *cli, const struct args *args)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	bool path = args_given(args, OPT_GUEST_PATH), base = args_given(args, OPT_BASE_COMMIT);
	autofree char *folder = client_escape(path ? args->values[OPT_GUEST_PATH] : "");
	autofree char *commit = client_escape(base ? args->values[OPT_BASE_COMMIT] : "HEAD");
	autofree char *vm = vm_path(args);
	autofree char *target = NULL;
	struct client_request request = { .method = "GET",
					  .accept = "text/x-diff",
					  .on_data = print_bytes };
	int status = cli_connect(cli, args);

	if (status || !vm || !folder || !commit ||
	    asprintf(&target, "%s/workspace/patch?base_commit=%s%s%s", vm, commit,
		     path ? "&path=" : "", folder) < 0)
		return status ? status : EXIT_FAILED;
	request.path = target;
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}
