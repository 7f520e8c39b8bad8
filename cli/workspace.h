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
	const char *mode;   /* "tracked", "untracked" or "full_copy"; static */
	const char *branch; /* borrowed; NULL: as it is */
	char *from;         /* the commit that the branch begins at */
};

/* How a workspace is made; borrowed. */
struct workspace_options {
	const char *mode;
	bool untracked;     /* was asked for by name */
	const char *branch; /* NULL: as it is */
	const char *from;   /* NULL: HEAD */
};

struct cli;

struct workspace_options workspace_options(const struct args *args);
/*
 * Looks at the repository at `path` and at the options, and refuses what can't be done, before
 * anything is made. workspace_done() in any case.
 */
int workspace_open(const char *path, const struct workspace_options *options, struct workspace *w,
		   struct error *err) MUST_USE;
void workspace_done(struct workspace *w);
/* Names of the files of a mode, each ended by a NUL; of "full_copy" those that git would show. */
int workspace_names(const char *root, const char *mode, char **ret_names, size_t *ret_len,
		    struct error *err) MUST_USE;
/* Prints what would be copied. */
void workspace_print(const struct workspace *w);
/*
 * Puts it into the guest at `guest_path` ("/vms/web" is `vm`) and has the server record what it is.
 * `if_exists` as in the API: "refuse", "replace" or "keep". 0 or an exit status.
 */
int workspace_put(struct cli *cli, const struct workspace *w, const char *vm,
		  const char *guest_path, const char *if_exists);

/* workspace_record.c */
/* The request that sends it, with all that is to be on record; NULL when out of memory. */
char *workspace_target(const struct workspace *w, const char *vm, const char *guest_path,
		       const char *if_exists);
/*
 * Where a command of `vm exec` begins: in the VM's workspace, unless a folder or a user was given.
 * NULL: where it does by itself. Says when the repository has changed since, or sends it again with
 * --auto-prepare. *ret_status: an exit status, 0 to go on. The caller frees.
 */
char *workspace_for_exec(struct cli *cli, const struct args *args, const char *vm, int *ret_status);
