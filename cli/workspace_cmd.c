/* SPDX-License-Identifier: Apache-2.0 */
/* workspace: a repository of this host into a VM, and the changes made there back as a patch. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/guest_file.h"
#include "cli/run.h"
#include "cli/workspace.h"
#include "lib/base/cleanup.h"

/*
 * Everything that differs from the commit, new files and binary ones included, by an index of its
 * own: the checkout's is not touched.
 */
#define EXPORT_SCRIPT                                                                    \
	"cd \"$1\" || exit; ref=${2:-HEAD}\n"                                            \
	"command -v git >/dev/null || { echo 'git is not in the guest' >&2; exit 1; }\n" \
	"dir=$(git rev-parse --absolute-git-dir) || exit\n"                              \
	"GIT_INDEX_FILE=$dir/banger-export-$$; export GIT_INDEX_FILE\n"                  \
	"trap 'rm -f \"$GIT_INDEX_FILE\" \"$GIT_INDEX_FILE.lock\"' EXIT\n"               \
	"git read-tree \"$ref\" && git add -A && git diff --cached --binary \"$ref\""

static char *vm_path(const struct args *args)
{
	autofree char *vm = client_escape(args->positional[0]);
	char *path = NULL;

	return vm && asprintf(&path, "/vms/%s", vm) >= 0 ? path : NULL;
}

/* The guest's folder must not be there yet, or --force given: then it goes. */
static int clear_target(struct cli *cli, const struct args *args, const char *vm, const char *path)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct client_request request = { .method = "DELETE" };
	autofree char *full = NULL;
	char type[8] = "";
	int status = guest_file_look(cli, vm, path, type, NULL);

	if (status || !type[0])
		return status;
	if (!args_given(args, OPT_FORCE)) {
		(void)fprintf(stderr,
			      "banger: %s is there already in the guest\ntry: --force to replace "
			      "it, changes made there included\n",
			      path);
		return EXIT_FAILED;
	}
	full = guest_file_path(vm, path, "?recursive=true");
	if (!full)
		return EXIT_FAILED;
	request.path = full;
	(void)cli_request(cli, &request, &reply, &status);
	return status;
}

int cmd_workspace_prepare(struct cli *cli, const struct args *args)
{
	struct workspace w CLEANUP(workspace_done) = { .root = NULL };
	const char *path =
		args_given(args, OPT_GUEST_PATH) ? args->values[OPT_GUEST_PATH] : WORKSPACE_PATH;
	const char *source = args->n_positional > 1 ? args->positional[1] : ".";
	autofree char *vm = vm_path(args);
	struct error err = ERROR_INIT;
	int status;

	if (workspace_open(source, args, &w, &err) < 0)
		return cli_fail(cli, &err);
	if (args_given(args, OPT_DRY_RUN)) {
		workspace_print(&w);
		return 0;
	}
	status = cli_connect(cli, args);
	if (status || !vm)
		return status ? status : EXIT_FAILED;
	status = clear_target(cli, args, vm, path);
	if (status == 0)
		status = workspace_put(cli, &w, vm, path);
	if (status == 0)
		(void)printf("%s\n", path);
	return status;
}

int cmd_workspace_export(struct cli *cli, const struct args *args)
{
	const char *path =
		args_given(args, OPT_GUEST_PATH) ? args->values[OPT_GUEST_PATH] : WORKSPACE_PATH;
	const char *base =
		args_given(args, OPT_BASE_COMMIT) ? args->values[OPT_BASE_COMMIT] : "HEAD";
	autofree char *vm = vm_path(args);
	json_auto_t *body = json_pack("{s:[s, s, s, s, s, s]}", "argv", "/bin/sh", "-c",
				      EXPORT_SCRIPT, "export", path, base);
	int status = cli_connect(cli, args);

	if (status || !vm || !body)
		return status ? status : EXIT_FAILED;
	if (base[0] == '-') {
		(void)fprintf(stderr, "banger: '%s' is no commit\n", base);
		return EXIT_USAGE;
	}
	return exec_body_in(cli, body, vm);
}
