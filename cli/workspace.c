/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest_file.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"
#include "lib/proc/proc.h"

#define DEPTH       "10" /* commits of history */
/* A repository may be asked for a commit that no branch of it points to. */
#define UPLOAD_PACK "git -c uploadpack.allowAnySHA1InWant=true upload-pack"

enum { ARGV_MAX = 24, LIST_MAX = 256 * 1024 * 1024, GIT_MS = 600 * 1000 };

/* --- git --- */

/* The words end with NULL. *ret_out (may be NULL) is the caller's to free. */
static int git(const char *dir, const char *const *words, char **ret_out, size_t *ret_len,
	       struct error *err)
{
	autofree char *program = proc_find_program("git");
	const char *argv[ARGV_MAX] = { program, "-C", dir };
	/* The user's own settings count, but nothing that would make git ask or page. */
	const char *home = getenv("HOME"); /* NOLINT(concurrency-mt-unsafe): before threads */
	autofree char *home_line = NULL;
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin",
			      "LANG=C.UTF-8",
			      "GIT_TERMINAL_PROMPT=0",
			      "GIT_OPTIONAL_LOCKS=0",
			      NULL,
			      NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	size_t n = 3;
	int r;

	if (!program)
		return error_set(err, ERR_UNSUPPORTED, "git is not installed on this host");
	for (; *words && n < ARGV_MAX - 1; words++)
		argv[n++] = *words;
	if (asprintf(&home_line, "HOME=%s", home ? home : "/") < 0)
		return error_errno(err, -ENOMEM, "git");
	env[4] = home_line;
	spec.argv = argv;
	spec.env = env;
	run.output_max = LIST_MAX;
	run.timeout_ms = GIT_MS;
	r = proc_run(&spec, &run, &result, err);
	if (r < 0)
		return r;
	if (result.status != 0)
		r = error_set(err, ERR_INVALID, "git %s: %.*s", argv[3],
			      (int)strcspn(result.err, "\n"), result.err);
	else if (ret_out) {
		*ret_out = TAKE_PTR(result.out);
		if (ret_len)
			*ret_len = result.out_len;
	}
	proc_result_done(&result);
	return r;
}

/* The first line of what git prints; NULL when it fails. The caller frees. */
static char *git_line(const char *dir, const char *const *words)
{
	struct error ignored = ERROR_INIT;
	char *out = NULL;

	if (git(dir, words, &out, NULL, &ignored) < 0)
		return NULL;
	out[strcspn(out, "\n")] = '\0';
	return out;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* --- looking --- */

static int find_root(const char *path, char **ret_root, struct error *err)
{
	autofree char *inside = NULL;

	if (access(path, X_OK) < 0)
		return error_errno(err, -errno, "%.300s", path);
	inside = git_line(path, WORDS("rev-parse", "--is-inside-work-tree"));
	if (!inside || !streq(inside, "true"))
		return error_set(err, ERR_INVALID, "%.300s is no working tree of a git repository",
				 path);
	*ret_root = git_line(path, WORDS("rev-parse", "--show-toplevel"));
	return *ret_root
		       ? 0
		       : error_set(err, ERR_INVALID, "git does not say where %.300s begins", path);
}

static int refuse_submodules(const struct workspace *w, struct error *err)
{
	autofree char *out = NULL;
	size_t len = 0;
	int r = git(w->root, WORDS("ls-files", "-s", "-z"), &out, &len, err);

	for (size_t at = 0; r == 0 && at < len; at += strlen(out + at) + 1)
		if (str_has_prefix(out + at, "160000 "))
			return error_set(err, ERR_INVALID,
					 "the repository has submodules; use --mode full_copy to "
					 "copy all files as they are");
	return r;
}

static int list_names(struct workspace *w, bool untracked, struct error *err)
{
	if (untracked)
		return git(w->root,
			   WORDS("ls-files", "-z", "--deduplicate", "--cached", "--others",
				 "--exclude-standard"),
			   &w->names, &w->names_len, err);
	return git(w->root, WORDS("ls-files", "-z", "--deduplicate"), &w->names, &w->names_len,
		   err);
}

static int check_options(const struct args *args, struct error *err)
{
	const char *mode = args_given(args, OPT_MODE) ? args->values[OPT_MODE] : "tracked";
	bool branch = args_given(args, OPT_BRANCH);

	if (args_given(args, OPT_FROM_COMMIT) && !branch)
		return error_set(err, ERR_INVALID, "--from-commit needs --branch");
	if (streq(mode, "full_copy") && (branch || args_given(args, OPT_UNTRACKED)))
		return error_set(err, ERR_INVALID,
				 "--mode full_copy copies everything as it is; --branch and "
				 "--include-untracked have no meaning with it");
	return 0;
}

static int find_commit(struct workspace *w, const struct args *args, struct error *err)
{
	const char *from =
		args_given(args, OPT_FROM_COMMIT) ? args->values[OPT_FROM_COMMIT] : "HEAD";
	autofree char *commit = NULL;

	if (!args_given(args, OPT_BRANCH))
		return 0;
	w->branch = args->values[OPT_BRANCH];
	if (asprintf(&commit, "%s^{commit}", from) < 0)
		return error_errno(err, -ENOMEM, "commit");
	w->from = git_line(w->root,
			   WORDS("rev-parse", "--verify", "--quiet", "--end-of-options", commit));
	if (!w->from || !*w->from)
		return error_set(err, ERR_INVALID, "the repository has no commit '%.200s'", from);
	return git(w->root, WORDS("check-ref-format", "--branch", w->branch), NULL, NULL, err);
}

int workspace_open(const char *path, const struct args *args, struct workspace *w,
		   struct error *err)
{
	bool full = args_given(args, OPT_MODE) && streq(args->values[OPT_MODE], "full_copy");
	int r;

	*w = (struct workspace){ .root = NULL };
	r = check_options(args, err);
	if (r == 0)
		r = find_root(path, &w->root, err);
	if (r == 0 && !full)
		r = refuse_submodules(w, err);
	if (r == 0 && !full)
		r = list_names(w, args_given(args, OPT_UNTRACKED), err);
	if (r == 0)
		r = find_commit(w, args, err);
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

/* --- the checkout that is sent --- */

/* "https://me:secret@host/x" -> "https://host/x": what opens the remote is not for the guest. */
static void drop_secret(char *url)
{
	char *host = strstr(url, "://");
	char *at = host ? strchr(host + 3, '@') : NULL;

	if (at && at < host + 3 + strcspn(host + 3, "/"))
		memmove(host + 3, at + 1, strlen(at + 1) + 1);
}

static int set_origin(const struct workspace *w, const char *checkout, struct error *err)
{
	autofree char *url = git_line(w->root, WORDS("remote", "get-url", "origin"));

	if (!url)
		return git(checkout, WORDS("remote", "remove", "origin"), NULL, NULL, err);
	drop_secret(url);
	return git(checkout, WORDS("remote", "set-url", "origin", url), NULL, NULL, err);
}

static int set_identity(const struct workspace *w, const char *checkout, struct error *err)
{
	static const char *const keys[] = { "user.name", "user.email" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		autofree char *value = git_line(w->root, WORDS("config", keys[i]));

		if (value && git(checkout, WORDS("config", keys[i], value), NULL, NULL, err) < 0)
			return error_to_errno(err);
	}
	return 0;
}

/* A repository of its own with the last commits and an index that fits HEAD. */
static int make_checkout(const struct workspace *w, const char *checkout, struct error *err)
{
	autofree char *head =
		git_line(w->root, WORDS("rev-parse", "--verify", "--quiet", "HEAD^{commit}"));
	int r;

	if (!head || !*head) /* nothing committed yet */
		return git(checkout, WORDS("init", "--quiet"), NULL, NULL, err);
	r = git(checkout,
		WORDS("clone", "--quiet", "--no-local", "--no-checkout", "--no-tags", "--depth",
		      DEPTH, w->root, "."),
		NULL, NULL, err);
	if (r == 0 && w->branch)
		r = git(checkout,
			WORDS("fetch", "--quiet", "--depth", DEPTH, "--upload-pack", UPLOAD_PACK,
			      "origin", w->from),
			NULL, NULL, err);
	if (r == 0 && w->branch)
		r = git(checkout, WORDS("checkout", "--quiet", "-B", w->branch, w->from), NULL,
			NULL, err);
	else if (r == 0)
		r = git(checkout, WORDS("read-tree", "HEAD"), NULL, NULL, err);
	if (r == 0)
		r = set_origin(w, checkout, err);
	return r == 0 ? set_identity(w, checkout, err) : r;
}

static void remove_checkout(char (*path)[PATH_MAX])
{
	if (**path)
		(void)remove_tree_at(AT_FDCWD, *path);
}

static int send_folder(struct cli *cli, const char *vm, const char *guest_path, const char *folder,
		       const struct workspace *names)
{
	autoclose int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error err = ERROR_INIT;

	if (dir < 0) {
		(void)error_errno(&err, -errno, "open %.300s", folder);
		return cli_fail(cli, &err);
	}
	return guest_tree_write(cli, vm, guest_path, dir, names ? names->names : NULL,
				names ? names->names_len : 0);
}

int workspace_put(struct cli *cli, const struct workspace *w, const char *vm,
		  const char *guest_path)
{
	const char *tmp = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): before threads */
	CLEANUP(remove_checkout)
	char checkout[PATH_MAX] = "";
	struct error err = ERROR_INIT;
	char made[PATH_MAX];
	int status;

	if (!w->names)
		return send_folder(cli, vm, guest_path, w->root, NULL);
	(void)snprintf(made, sizeof(made), "%.3000s/banger-workspace-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(made)) {
		(void)error_errno(&err, -errno, "make a folder for the checkout");
		return cli_fail(cli, &err);
	}
	memcpy(checkout, made, sizeof(made));
	if (make_checkout(w, checkout, &err) < 0)
		return cli_fail(cli, &err);
	status = send_folder(cli, vm, guest_path, checkout, NULL);
	/* On a branch of its own the files are those of its commit. */
	if (status == 0 && !w->branch)
		status = send_folder(cli, vm, guest_path, w->root, w);
	return status;
}
