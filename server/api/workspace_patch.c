/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/workspace/patch: what differs from a commit in the guest's checkout, new, deleted and
 * binary files included, as git in the guest has it. A script there first says the commit's full
 * name in a line, then prints the patch; by its exit status it says why it can't.
 *
 * It works on an index of its own that has the entries of the checkout's, so that a file that is
 * ignored and tracked all the same counts. Nothing of the checkout is touched but git's own store
 * of objects, which gets those of the new files.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/api/patch_reader.h"
#include "server/api/workspace.h"
#include "server/vm/exec_words.h"
#include "server/vm/idle.h"

enum { PATCH_MS = 600 * 1000, CHUNK = 16 * 1024 };

/* Ends with one of enum patch_status. */

#define SCRIPT                                                                                    \
	"cd \"$1\" || exit 101\n"                                                                 \
	"command -v git >/dev/null || exit 102\n"                                                 \
	"export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'\n"      \
	"dir=$(git rev-parse --absolute-git-dir) || exit 103\n"                                   \
	"top=$(git rev-parse --show-toplevel) && cd \"$top\" || exit 103\n"                       \
	"if ! base=$(git rev-parse --verify --quiet --end-of-options \"$2^{commit}\"); then\n"    \
	"  [ \"$2\" = HEAD ] || exit 104\n"                                                       \
	"  base=$(git hash-object -t tree --stdin </dev/null) || exit\n"                          \
	"fi\n"                                                                                    \
	"index=$dir/banger-patch-$$\n"                                                            \
	"trap 'rm -f \"$index\" \"$index.lock\" \"$index.list\" \"$index.skip\"' EXIT\n"          \
	"trap 'exit 1' HUP INT TERM\n"                                                            \
	"git ls-files -s -z >\"$index.list\" || exit\n"                                           \
	"git ls-files -t | sed -n 's/^S //p' >\"$index.skip\" || exit\n"                          \
	"export GIT_INDEX_FILE=\"$index\"\n"                                                      \
	"git update-index -z --index-info <\"$index.list\" || exit\n"                             \
	"git update-index --skip-worktree --stdin <\"$index.skip\" && git add -A || exit\n"       \
	"echo \"$base\"\n"                                                                        \
	"git -c core.quotePath=true diff --cached --binary --full-index --no-color --no-ext-diff" \
	" --no-textconv --no-relative --src-prefix=a/ --dst-prefix=b/ \"$base\"\n"

struct patch {
	struct http_request *req; /* until the stream begins */
	struct http_stream *stream;
	struct guest_exec *exec; /* NULL: ended */
	struct api *api;
	char vm_id[ID_LEN + 1];
	char *path;
	char *base;
	struct patch_reader reader;
};

static void patch_free(struct patch *p)
{
	vm_busy(p->api->vms, p->vm_id, -1);
	patch_reader_done(&p->reader);
	free(p->path);
	free(p->base);
	free(p);
}

static void on_client_gone(void *data)
{
	struct patch *p = data;

	if (p->exec)
		guest_exec_kill(p->exec);
	patch_free(p);
}

static void on_drained(void *data)
{
	struct patch *p = data;

	if (p->exec)
		guest_exec_resume(p->exec);
}

static void begin(struct patch *p)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.gone = on_client_gone };

	http_reply_header(p->req, "Banger-Base-Commit", p->reader.commit.name);
	p->stream = http_stream_begin(p->req, 200, "text/x-diff", &callbacks, p);
	p->req = NULL;
}

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	struct patch *p = data;
	size_t patch = patch_reader_take(&p->reader, is_stderr, bytes, len);
	const char *at = (const char *)bytes + (len - patch);

	if (p->req && p->reader.commit.state == COMMIT_LINE_DONE)
		begin(p);
	while (p->stream && patch > 0) {
		size_t n = patch < CHUNK ? patch : CHUNK;

		(void)http_stream_write(p->stream, at, n);
		at += n;
		patch -= n;
	}
	return !p->stream || http_stream_room(p->stream) > HTTP_STREAM_BUFFER / 2;
}

/* --- the end --- */

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct patch *p = data;
	struct error err = ERROR_INIT;
	bool done = patch_reader_end(&p->reader, end, p->path, p->base, &err) == 0;

	p->exec = NULL;
	if (p->req) {
		http_on_gone(p->req, NULL, NULL);
		http_reply_error(p->req, &err, NULL);
	} else if (p->stream && done) {
		http_stream_end(p->stream);
	} else if (p->stream) {
		http_stream_abort(p->stream);
	}
	patch_free(p);
}

/* --- the beginning --- */

/* Where the patch is of: what the query names, what is on record, or the usual path. */
static char *path_of(const struct http_request *req, struct api *api, const struct vm *vm)
{
	json_auto_t *record = NULL;
	struct error ignored = ERROR_INIT;
	const char *path = http_query(req, "path");

	if (!path && api_workspace_record(api, vm, &record, &ignored) == 0)
		path = json_string_value(json_object_get(record, "path"));
	return strdup(path ? path : API_WORKSPACE_PATH);
}

static int start(struct patch *p, struct vm *vm, struct error *err)
{
	static const struct guest_exec_callbacks callbacks = { .output = on_output, .end = on_end };
	json_auto_t *argv =
		json_pack("[s, s, s, s, s, s]", "/bin/sh", "-c", SCRIPT, "patch", p->path, p->base);
	struct guest_exec_spec spec = {
		.argv = argv, .cwd = "/", .user = "root", .timeout_ms = PATCH_MS
	};
	struct exec_words words CLEANUP(exec_words_done) = { .config = NULL };

	if (!argv)
		return error_errno(err, -ENOMEM, "patch");
	/* For the image's own search path. */
	if (vm_exec_words(vm, &spec, &words, err) < 0)
		return error_to_errno(err);
	return guest_exec_start(vm_guest(vm), id_new().s, &spec, &callbacks, p, &p->exec, err);
}

void api_workspace_patch(struct http_request *req, void *context)
{
	const char *base = http_query(req, "base_commit");
	struct api *api = context;
	struct patch *p = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_workspace_patch, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		p = calloc(1, sizeof(*p));
		r = p ? 0 : error_errno(&err, -ENOMEM, "patch");
	}
	if (r == 0) {
		*p = (struct patch){ .req = req, .api = api };
		(void)snprintf(p->vm_id, sizeof(p->vm_id), "%s", vm_row(vm)->id);
		patch_reader_init(&p->reader);
		vm_busy(api->vms, p->vm_id, 1);
		p->path = path_of(req, api, vm);
		p->base = strdup(base ? base : "HEAD");
		r = p->path && p->base ? start(p, vm, &err) : error_errno(&err, -ENOMEM, "patch");
	}
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		if (p)
			patch_free(p);
		return;
	}
	http_on_gone(req, on_client_gone, p);
}
