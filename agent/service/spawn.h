/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program in the guest the quick way: a child that shares our memory until it has become
 * the program (CLONE_VM | CLONE_VFORK), so nothing is copied and a failure is known at once.
 */
#pragma once

#include <sys/types.h>

#include "agent/service/user.h"
#include "lib/base/macro.h"

struct spawn_spec {
	const char *const *paths; /* tried in turn, like a search of PATH; ended by NULL */
	const char *const *argv;  /* ended by NULL, like env */
	const char *const *env;
	const char *cwd;
	const struct user *user;
	bool change_user; /* false: stay who we are */
	bool tty;         /* `in` is a terminal and becomes the controlling one */
	int in;           /* all three above 2 */
	int out;
	int err;
};

enum spawn_stage { SPAWN_CLONE, SPAWN_SESSION, SPAWN_USER, SPAWN_CWD, SPAWN_EXEC };

/* In a session of its own. Returns the pid, or a negative errno with *ret_stage. */
pid_t spawn_program(const struct spawn_spec *spec, enum spawn_stage *ret_stage) MUST_USE;
