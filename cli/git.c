/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/git.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/macro.h"
#include "lib/proc/proc.h"

enum { ARGV_MAX = 24, LIST_MAX = 256 * 1024 * 1024, GIT_MS = 600 * 1000 };

static int run(const char *dir, const char *const *words, const char *input, size_t input_len,
	       char **ret_out, size_t *ret_len, struct error *err)
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
	struct proc_run how = PROC_RUN_INIT;
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
	how.input = input;
	how.input_len = input_len;
	how.output_max = LIST_MAX;
	how.timeout_ms = GIT_MS;
	r = proc_run(&spec, &how, &result, err);
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

int git_run(const char *dir, const char *const *words, char **ret_out, size_t *ret_len,
	    struct error *err)
{
	return run(dir, words, NULL, 0, ret_out, ret_len, err);
}

int git_feed(const char *dir, const char *const *words, const char *input, size_t len,
	     struct error *err)
{
	return run(dir, words, input, len, NULL, NULL, err);
}

char *git_line(const char *dir, const char *const *words)
{
	struct error ignored = ERROR_INIT;
	char *out = NULL;

	size_t len = 0;

	if (git_run(dir, words, &out, &len, &ignored) < 0)
		return NULL;
	/* The last newline alone is git's: a folder's name may have others. */
	if (len > 0 && out[len - 1] == '\n')
		out[len - 1] = '\0';
	return out;
}
