/* SPDX-License-Identifier: Apache-2.0 */
/* git of this host, on a repository that it must not ask, page or lock anything for. */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

/* The words of a command of git, for git_run(). */
#define GIT_WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* The words end with NULL. *ret_out (may be NULL) is what it printed, the caller's to free;
 * ERR_INVALID with git's own words when it failed. */
int git_run(const char *dir, const char *const *words, char **ret_out, size_t *ret_len,
	    struct error *err) MUST_USE;
/* The same with so many bytes of input, and without what it prints. */
int git_feed(const char *dir, const char *const *words, const char *input, size_t len,
	     struct error *err) MUST_USE;
/* The first line of what git prints; NULL when it fails. The caller frees. */
char *git_line(const char *dir, const char *const *words);
