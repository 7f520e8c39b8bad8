/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/git.h"
#include "cli/guest_file.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"
#include "lib/tar/tar.h"

/* --- looking --- */

static int find_root(const char *path, char **ret_root, struct error *err)
{
	autofree char *inside = NULL;

	if (access(path, X_OK) < 0)
		return error_errno(err, -errno, "%.300s", path);
	inside = git_line(path, GIT_WORDS("rev-parse", "--is-inside-work-tree"));
	if (!inside || !streq(inside, "true"))
		return error_set(err, ERR_INVALID, "%.300s is no working tree of a git repository",
				 path);
	*ret_root = git_line(path, GIT_WORDS("rev-parse", "--show-toplevel"));
	return *ret_root
		       ? 0
		       : error_set(err, ERR_INVALID, "git does not say where %.300s begins", path);
}

static int refuse_submodules(const struct workspace *w, struct error *err)
{
	autofree char *out = NULL;
	size_t len = 0;
	int r = git_run(w->root, GIT_WORDS("ls-files", "-s", "-z"), &out, &len, err);

	for (size_t at = 0; r == 0 && at < len; at += strlen(out + at) + 1)
		if (str_has_prefix(out + at, "160000 "))
			return error_set(err, ERR_INVALID,
					 "the repository has submodules; use --mode full_copy to "
					 "copy all files as they are");
	return r;
}

int workspace_names(const char *root, const char *mode, char **ret_names, size_t *ret_len,
		    struct error *err)
{
	if (streq(mode, "tracked"))
		return git_run(root, GIT_WORDS("ls-files", "-z", "--deduplicate"), ret_names,
			       ret_len, err);
	return git_run(root,
		       GIT_WORDS("ls-files", "-z", "--deduplicate", "--cached", "--others",
				 "--exclude-standard"),
		       ret_names, ret_len, err);
}

struct workspace_options workspace_options(const struct args *args)
{
	bool untracked = args_given(args, OPT_UNTRACKED);

	return (struct workspace_options){
		.mode = args_given(args, OPT_MODE) && streq(args->values[OPT_MODE], "full_copy")
				? "full_copy"
			: untracked ? "untracked"
				    : "tracked",
		.untracked = untracked,
		.branch = args->values[OPT_BRANCH],
		.from = args->values[OPT_FROM_COMMIT],
	};
}

static int check_options(const struct workspace_options *o, struct error *err)
{
	if (o->from && !o->branch)
		return error_set(err, ERR_INVALID, "--from-commit needs --branch");
	if (streq(o->mode, "full_copy") && (o->branch || o->untracked))
		return error_set(err, ERR_INVALID,
				 "--mode full_copy copies everything as it is; --branch and "
				 "--include-untracked have no meaning with it");
	return 0;
}

static int find_commit(struct workspace *w, const struct workspace_options *o, struct error *err)
{
	const char *from = o->from ? o->from : "HEAD";
	autofree char *commit = NULL;

	w->branch = o->branch;
	if (!w->branch)
		return 0;
	if (asprintf(&commit, "%s^{commit}", from) < 0)
		return error_errno(err, -ENOMEM, "commit");
	w->from = git_line(
		w->root, GIT_WORDS("rev-parse", "--verify", "--quiet", "--end-of-options", commit));
	if (!w->from || !*w->from)
		return error_set(err, ERR_INVALID, "the repository has no commit '%.200s'", from);
	return git_run(w->root, GIT_WORDS("check-ref-format", "--branch", w->branch), NULL, NULL,
		       err);
}

int workspace_open(const char *path, const struct workspace_options *o, struct workspace *w,
		   struct error *err)
{
	bool full = streq(o->mode, "full_copy");
	int r;

	*w = (struct workspace){ .mode = o->mode };
	r = check_options(o, err);
	if (r == 0)
		r = find_root(path, &w->root, err);
	if (r == 0 && !full)
		r = refuse_submodules(w, err);
	if (r == 0 && !full)
		r = workspace_names(w->root, o->mode, &w->names, &w->names_len, err);
	if (r == 0)
		r = find_commit(w, o, err);
	return r;
}

void workspace_done(struct workspace *w)
{
	free(w->root);
	free(w->names);
	free(w->from);
	*w = (struct workspace){ .root = NULL };
}

void workspace_print(const struct workspace *w)
{
	if (!w->names)
		(void)printf("everything below %s\n", w->root);
	for (size_t at = 0; at < w->names_len; at += strlen(w->names + at) + 1) {
		autofree char *path = path_join(w->root, w->names + at);
		struct stat st;

		if (path && lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
			(void)printf("%s\n", w->names + at);
	}
}

/* --- sending --- */

static void remove_checkout(char (*path)[PATH_MAX])
{
	if (**path)
		(void)remove_tree_at(AT_FDCWD, *path);
}

/* Both folders as one archive; `checkout` NULL: the repository as it is. */
static int send_folders(struct cli *cli, const struct workspace *w, const char *target,
			const char *checkout)
{
	autoclose int made = checkout ? open(checkout, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	autoclose int root = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct tar_part parts[] = {
		{ .dir_fd = made },
		{ .dir_fd = root, .names = w->names, .len = w->names_len },
	};
	struct error err = ERROR_INIT;
	/* On a branch of its own the files are those of its commit. */
	size_t n = checkout && w->branch ? 1 : 2;

	if (root < 0 || (checkout && made < 0)) {
		(void)error_errno(&err, -errno, "open %.300s", root < 0 ? w->root : checkout);
		return cli_fail(cli, &err);
	}
	return checkout ? guest_tree_send(cli, "POST", target, parts, n)
			: guest_tree_send(cli, "POST", target, parts + 1, 1);
}

/* Everything as it is means the repository's configuration too. */
static void warn_of_secret(const struct workspace *w)
{
	autofree char *url = git_line(w->root, GIT_WORDS("remote", "get-url", "origin"));

	if (url && checkout_drop_secret(url))
		(void)fprintf(
			stderr,
			"banger: warning: the address of origin names a user or a password, and "
			"full_copy hands it to the guest; git remote set-url origin %s leaves "
			"it out\n",
			url);
}

int workspace_put(struct cli *cli, const struct workspace *w, const char *vm,
		  const char *guest_path, const char *if_exists)
{
	const char *tmp = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): before threads */
	autofree char *target = workspace_target(w, vm, guest_path, if_exists);
	CLEANUP(remove_checkout)
	char checkout[PATH_MAX] = "";
	struct error err = ERROR_INIT;
	char made[PATH_MAX];

	if (!target) {
		(void)error_errno(&err, -ENOMEM, "the workspace");
		return cli_fail(cli, &err);
	}
	if (!w->names)
		warn_of_secret(w);
	if (!w->names)
		return send_folders(cli, w, target, NULL);
	(void)snprintf(made, sizeof(made), "%.3000s/banger-workspace-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(made)) {
		(void)error_errno(&err, -errno, "make a folder for the checkout");
		return cli_fail(cli, &err);
	}
	memcpy(checkout, made, sizeof(made));
	if (checkout_make(w->root, checkout, w->branch, w->from, &err) < 0)
		return cli_fail(cli, &err);
	return send_folders(cli, w, target, checkout);
}
