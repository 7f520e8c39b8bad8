/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/git.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"

#define DEPTH       "10" /* commits of history */
#define PATTERNS    "info/sparse-checkout"
/* A repository may be asked for a commit that no branch of it points to. */
#define UPLOAD_PACK "git -c uploadpack.allowAnySHA1InWant=true upload-pack"

enum { PATTERNS_MAX = 1 << 20 };

bool checkout_drop_secret(char *url)
{
	char *host = strstr(url, "://");
	char *at = host ? strchr(host + 3, '@') : NULL;

	if (!at || at >= host + 3 + strcspn(host + 3, "/"))
		return false;
	memmove(host + 3, at + 1, strlen(at + 1) + 1);
	return true;
}

static int set_origin(const char *root, const char *checkout, struct error *err)
{
	autofree char *url = git_line(root, GIT_WORDS("remote", "get-url", "origin"));

	if (!url)
		return git_run(checkout, GIT_WORDS("remote", "remove", "origin"), NULL, NULL, err);
	(void)checkout_drop_secret(url);
	return git_run(checkout, GIT_WORDS("remote", "set-url", "origin", url), NULL, NULL, err);
}

/* Who commits, and how files of the working tree differ from what is committed. */
static int set_config(const char *root, const char *checkout, struct error *err)
{
	static const char *const keys[] = {
		"user.name",     "user.email",          "core.autocrlf",          "core.eol",
		"core.filemode", "core.sparseCheckout", "core.sparseCheckoutCone"
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		autofree char *value = git_line(root, GIT_WORDS("config", keys[i]));

		if (value &&
		    git_run(checkout, GIT_WORDS("config", keys[i], value), NULL, NULL, err) < 0)
			return error_to_errno(err);
	}
	return 0;
}

/* --- files that are not there on purpose --- */

static int copy_patterns(const char *root, const char *checkout, struct error *err)
{
	autofree char *rest = git_line(root, GIT_WORDS("rev-parse", "--git-path", PATTERNS));
	autofree char *from = rest ? path_join(root, rest) : NULL;
	autoclose int dir = open(checkout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofree char *text = NULL;
	size_t len;
	int r;

	if (!from)
		return error_errno(err, -ENOMEM, "sparse checkout");
	r = read_file(rest[0] == '/' ? rest : from, PATTERNS_MAX, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && (dir < 0 || (mkdirat(dir, ".git/info", 0777) < 0 && errno != EEXIST)))
		r = -errno;
	if (r == 0)
		r = write_file_at(dir, ".git/" PATTERNS, text, len, 0644);
	return r < 0 ? error_errno(err, r, "copy the patterns of the sparse checkout") : 0;
}

/* Of the list "<flag> <name>", sorted, the names that git leaves out of the working tree and that
 * are in the other list too; `len` becomes their length. */
static void pick_skipped(char *list, size_t *len, const char *known, size_t known_len)
{
	size_t to = 0, at = 0, other = 0;

	while (at < *len) {
		size_t n = strlen(list + at) + 1;
		const char *name = list + at + 2;

		while (other < known_len && strcmp(known + other, name) < 0)
			other += strlen(known + other) + 1;
		if (list[at] == 'S' && other < known_len && streq(known + other, name)) {
			memmove(list + to, name, n - 2);
			to += n - 2;
		}
		at += n;
	}
	*len = to;
}

/* The new index leaves the same files out, or they would count as deleted. */
static int skip_files(const char *root, const char *checkout, struct error *err)
{
	autofree char *list = NULL;
	autofree char *known = NULL;
	size_t len = 0, known_len = 0;
	int r = git_run(root, GIT_WORDS("ls-files", "-t", "-z", "--cached"), &list, &len, err);

	if (r == 0)
		r = git_run(checkout, GIT_WORDS("ls-files", "-z", "--cached"), &known, &known_len,
			    err);
	if (r < 0)
		return r;
	pick_skipped(list, &len, known, known_len);
	if (len == 0)
		return 0;
	r = git_feed(checkout, GIT_WORDS("update-index", "-z", "--skip-worktree", "--stdin"), list,
		     len, err);
	return r == 0 ? copy_patterns(root, checkout, err) : r;
}

/* A repository of its own with the last commits and an index that fits HEAD. */
int checkout_make(const char *root, const char *checkout, const char *branch, const char *from,
		  struct error *err)
{
	autofree char *head =
		git_line(root, GIT_WORDS("rev-parse", "--verify", "--quiet", "HEAD^{commit}"));
	int r;

	if (!head || !*head) /* nothing committed yet */
		return git_run(checkout, GIT_WORDS("init", "--quiet"), NULL, NULL, err);
	r = git_run(checkout,
		    GIT_WORDS("clone", "--quiet", "--no-local", "--no-checkout", "--no-tags",
			      "--depth", DEPTH, root, "."),
		    NULL, NULL, err);
	if (r == 0)
		r = set_config(root, checkout, err);
	if (r == 0 && branch)
		r = git_run(checkout,
			    GIT_WORDS("fetch", "--quiet", "--depth", DEPTH, "--upload-pack",
				      UPLOAD_PACK, "origin", from),
			    NULL, NULL, err);
	if (r == 0 && branch)
		r = git_run(checkout, GIT_WORDS("checkout", "--quiet", "-B", branch, from), NULL,
			    NULL, err);
	else if (r == 0)
		r = git_run(checkout, GIT_WORDS("read-tree", "HEAD"), NULL, NULL, err);
	if (r == 0 && !branch)
		r = skip_files(root, checkout, err);
	return r == 0 ? set_origin(root, checkout, err) : r;
}
