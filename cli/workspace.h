/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A git repository of this host, on its way into a guest: the files that git tracks as they are
 * now, and a short history. The repository itself, its index included, is only read.
 */
#pragma once

#include "cli/args.h"
#include "lib/base/error.h"

#define WORKSPACE_PATH "/root/repo" /* in the guest, unless another is given */

struct workspace {
	char *root;  /* of the working tree */
	char *names; /* tracked files, each ended by a NUL; NULL: everything (full copy) */
	size_t names_len;
	const char *branch; /* borrowed; NULL: as it is */
	char *from;         /* the commit that the branch begins at */
};

struct cli;

/*
 * Looks at the repository at `path` and at the options, and refuses what can't be done, before
 * anything is made. workspace_done() in any case.
 */
int workspace_open(const char *path, const struct args *args, struct workspace *w,
		   struct error *err) MUST_USE;
void workspace_done(struct workspace *w);
/* Prints what would be copied. */
void workspace_print(const struct workspace *w);
/* Puts it into the guest at `guest_path` ("/vms/web" is `vm`). 0 or an exit status. */
int workspace_put(struct cli *cli, const struct workspace *w, const char *vm,
		  const char *guest_path);
