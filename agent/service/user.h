/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of the guest from its own /etc/passwd and /etc/group. No name service modules: the agent
 * is static, and what they would load comes from the guest.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "lib/base/error.h"

enum { USER_GROUPS_MAX = 64 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t n_groups;
	char name[64];
	char home[256];
	char shell[256];
};

/*
 * `spec` is "user" or "user:group", each a name or a number; NULL or "" is root. A number need not
 * be in the files. `root` is the folder that holds etc/, "" for the real one.
 */
int user_find(const char *root, const char *spec, struct user *ret_user,
	      struct error *err) MUST_USE;
