/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where banger keeps things. BANGER_HOME=<dir> (or --home <dir>) moves all four folders together:
 * <dir>/{config,state,cache,run}. Else the XDG base directories: $XDG_CONFIG_HOME/banger,
 * $XDG_STATE_HOME/banger, $XDG_CACHE_HOME/banger and $XDG_RUNTIME_DIR/banger, or
 * /tmp/banger-runtime-<uid> where there is no runtime directory; that one must be ours, 0700 and no
 * symbolic link.
 *
 * The word "system" in place of <dir> means the folders of a system install (deploy/install):
 * /etc/banger, /var/lib/banger/state, /var/cache/banger and /run/banger. They are also what the
 * owner of a running system install gets who says nothing: /run/banger is theirs then.
 */
#pragma once

#include "lib/base/error.h"

struct home {
	char *config;
	char *state;
	char *cache;
	char *runtime;
};

/* Fills in the paths; makes nothing. `override` is --home's value or NULL. home_done() afterwards.
 */
int home_resolve(const char *override, struct home *ret_home, struct error *err) MUST_USE;

/* Makes the four folders, 0700, and checks that they are ours. */
int home_create(const struct home *home, struct error *err) MUST_USE;

void home_done(struct home *home);

/* <runtime>/server.sock; the caller frees. NULL when out of memory. */
char *home_socket(const struct home *home);
