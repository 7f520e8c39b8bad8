/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server has on record of a VM's workspace, and whether the repository is still that. The
 * fingerprint is made of names, kinds, sizes and times: no file is read for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/git.h"
#include "cli/guest_file.h"
#include "cli/output.h"
#include "cli/workspace.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"

enum { TARGET_MAX = 64 * 1024, FINGERPRINT = 17, NOTE = 24 };

/* --- what there is now --- */

static uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return h;
}

static void fingerprint(const char *root, const char *names, size_t len, char ret[FINGERPRINT])
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		autofree char *path = path_join(root, names + at);
		struct stat st;
		int64_t seen[4] = { -1 };

		if (path && lstat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
			seen[0] = (int64_t)st.st_mode;
			seen[1] = (int64_t)st.st_size;
			seen[2] = (int64_t)st.st_mtim.tv_sec;
			seen[3] = (int64_t)st.st_mtim.tv_nsec;
		}
		h = mix(h, names + at, strlen(names + at) + 1);
		h = mix(h, seen, sizeof(seen));
	}
	(void)snprintf(ret, FINGERPRINT, "%016" PRIx64, h);
}

/* NULL before the first commit. The caller frees. */
static char *head_of(const char *root)
{
	return git_line(root, GIT_WORDS("rev-parse", "--verify", "--quiet", "HEAD^{commit}"));
}

static bool fingerprint_now(const char *root, const char *mode, char ret[FINGERPRINT])
{
	struct error ignored = ERROR_INIT;
	autofree char *names = NULL;
	size_t len = 0;

	if (workspace_names(root, mode, &names, &len, &ignored) < 0)
		return false;
	fingerprint(root, names, len, ret);
	return true;
}

/* --- on its way to the record --- */

static bool has_controls(const char *s)
{
	while (*s && (unsigned char)*s >= ' ' && *s != 0x7f)
		s++;
	return *s;
}

/* What is no UTF-8 text, or has a newline, stays unsaid. */
static int add(struct buf *b, const char *name, const char *value)
{
	json_auto_t *text = value && value[0] && !has_controls(value) ? json_string(value) : NULL;
	autofree char *escaped = text ? client_escape(value) : NULL;

	if (!text)
		return 0;
	return escaped ? buf_printf(b, "&%s=%s", name, escaped) : -ENOMEM;
}

char *workspace_target(const struct workspace *w, const char *vm, const char *guest_path,
		       const char *if_exists)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree char *head = w->branch ? strdup(w->from) : head_of(w->root);
	autofree char *escaped = client_escape(guest_path);
	char host[HOST_NAME_MAX + 1] = "";
	char mark[FINGERPRINT] = "";
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	/* A branch is a commit's, whatever becomes of the files. */
	if (!w->branch)
		(void)fingerprint_now(w->root, w->mode, mark);
	buf_init(&b, TARGET_MAX);
	r = escaped ? buf_printf(&b, "%s/workspace?path=%s&if_exists=%s", vm, escaped, if_exists)
		    : -ENOMEM;
	if (r == 0)
		r = add(&b, "source", w->root);
	if (r == 0)
		r = add(&b, "host", host);
	if (r == 0)
		r = add(&b, "head", head);
	if (r == 0)
		r = add(&b, "branch", w->branch);
	if (r == 0)
		r = add(&b, "mode", w->mode);
	if (r == 0)
		r = add(&b, "fingerprint", mark);
	if (r == 0)
		r = buf_append(&b, "", 1);
	return r == 0 ? strdup((const char *)buf_bytes(&b)) : NULL;
}

/* --- stale? --- */

/* New reference; NULL where nothing is on record, or *ret_status. */
static json_t *fetch_record(struct cli *cli, const char *vm, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = NULL;
	struct client_request request = { .method = "GET" };
	struct error err = ERROR_INIT;

	*ret_status = 0;
	if (asprintf(&path, "%s/workspace", vm) < 0) {
		path = NULL;
		*ret_status = EXIT_FAILED;
		return NULL;
	}
	request.path = path;
	if (client_do(cli->client, &request, &reply, &err) < 0)
		*ret_status = cli_fail(cli, &err);
	else if (reply.status >= 400 && reply.status != 404)
		*ret_status = cli_fail_reply(cli, &reply);
	return *ret_status == 0 && reply.status == 200 ? TAKE_PTR(reply.json) : NULL;
}

/* True when the repository is on this host and not what was sent; `note` says what differs. */
static bool is_stale(const json_t *record, char note[NOTE])
{
	const char *source = json_str(record, "source");
	const char *mode = json_str(record, "mode");
	char host[HOST_NAME_MAX + 1] = "", mark[FINGERPRINT] = "";
	autofree char *head = NULL;

	(void)gethostname(host, sizeof(host) - 1);
	if (!*json_str(record, "fingerprint") || !streq(host, json_str(record, "host")) ||
	    access(source, X_OK) < 0)
		return false;
	head = head_of(source);
	if (!streq(head ? head : "", json_str(record, "head"))) {
		(void)snprintf(note, NOTE, "%s", "HEAD has moved");
		return true;
	}
	(void)snprintf(note, NOTE, "%s", "files have changed");
	return fingerprint_now(source, *mode ? mode : "tracked", mark) &&
	       !streq(mark, json_str(record, "fingerprint"));
}

/* --- again --- */

static int remove_in_guest(struct cli *cli, const char *vm, const char *folder, const char *name,
			   bool recursive)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *path = path_join(folder, name);
	autofree char *full =
		path ? guest_file_path(vm, path, recursive ? "?recursive=true" : "") : NULL;
	struct client_request request = { .method = "DELETE", .path = full };
	struct error err = ERROR_INIT;

	if (!full || client_do(cli->client, &request, &reply, &err) < 0)
		return full ? cli_fail(cli, &err) : EXIT_FAILED;
	return reply.status >= 400 && reply.status != 404 ? cli_fail_reply(cli, &reply) : 0;
}

/* Files of the commit that was sent, which are not here any more. */
static int remove_deleted(struct cli *cli, const json_t *record, const struct workspace *w,
			  const char *vm)
{
	const char *head = json_str(record, "head");
	struct error ignored = ERROR_INIT;
	autofree char *names = NULL;
	size_t len = 0;
	int status = 0;

	if (!*head || git_run(w->root,
			      GIT_WORDS("diff", "--name-only", "--no-renames", "--diff-filter=D",
					"--no-ext-diff", "-z", head, "--"),
			      &names, &len, &ignored) < 0)
		return 0;
	for (size_t at = 0; status == 0 && at < len; at += strlen(names + at) + 1)
		status = remove_in_guest(cli, vm, json_str(record, "path"), names + at, false);
	return status;
}

/* What else is in the folder, as what a build left there, stays. */
static int send_again(struct cli *cli, const json_t *record, const char *vm)
{
	struct workspace w CLEANUP(workspace_done) = { .root = NULL };
	const char *mode = json_str(record, "mode");
	struct workspace_options options = { .mode = streq(mode, "full_copy")   ? "full_copy"
						     : streq(mode, "untracked") ? "untracked"
										: "tracked" };
	struct error err = ERROR_INIT;
	int status;

	if (workspace_open(json_str(record, "source"), &options, &w, &err) < 0)
		return cli_fail(cli, &err);
	status = remove_in_guest(cli, vm, json_str(record, "path"), ".git", true);
	if (status == 0)
		status = remove_deleted(cli, record, &w, vm);
	return status ? status : workspace_put(cli, &w, vm, json_str(record, "path"), "keep");
}

char *workspace_for_exec(struct cli *cli, const struct args *args, const char *vm, int *ret_status)
{
	bool again = args_given(args, OPT_AUTO_PREPARE);
	json_auto_t *record = NULL;
	char note[NOTE] = "";

	*ret_status = 0;
	if (!again && (args_given(args, OPT_CWD) || args_given(args, OPT_USER)))
		return NULL;
	record = fetch_record(cli, vm, ret_status);
	if (!record) {
		if (*ret_status == 0 && again) {
			cli_say(cli, ERR_STATE,
				"the VM has no workspace to prepare again; put one there with "
				"banger workspace prepare");
			*ret_status = EXIT_FAILED;
		}
		return NULL;
	}
	if (is_stale(record, note)) {
		if (again)
			*ret_status = send_again(cli, record, vm);
		else if (!cli->quiet)
			(void)fprintf(stderr,
				      "banger: warning: %s in %s since it was put at %s in the "
				      "guest; --auto-prepare sends it again first\n",
				      note, json_str(record, "source"), json_str(record, "path"));
	}
	return *ret_status ? NULL : strdup(json_str(record, "path"));
}
