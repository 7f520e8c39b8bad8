/* SPDX-License-Identifier: Apache-2.0 */
/* The repository that goes into a guest in place of the user's own. */
#pragma once

#include <stdbool.h>

#include "lib/base/error.h"

/*
 * Makes a repository with the last commits of `root` in the empty folder `checkout`, and an index
 * that says of the files what the one of `root` says. With `branch` (NULL: none): its files are
 * those of the commit `from`, on that branch.
 */
int checkout_make(const char *root, const char *checkout, const char *branch, const char *from,
		  struct error *err) MUST_USE;

/* "https://me:secret@host/x" -> "https://host/x": what opens the remote is not for the guest. True
 * when there was such a thing. */
bool checkout_drop_secret(char *url);
