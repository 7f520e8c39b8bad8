/* SPDX-License-Identifier: Apache-2.0 */
/* One verb on several resources: at once, answered in the order given, each on its own. */
#pragma once

#include "cli/cli.h"

struct target_verb {
	const char *list; /* "/vms" */
	const char *kind; /* "VM", for messages */
	const char *method;
	const char *suffix; /* "/stop"; "" for the resource itself */
	const char *doing;  /* "stopping", for progress */
	bool operation;     /* may go on as an operation */
};

/*
 * Does the verb on every target and prints its name when done (JSON with --json: an array of what
 * came back). Targets that are one resource under two names are done once. Returns an exit status:
 * 1 when one failed.
 */
int targets_run(struct cli *cli, const struct target_verb *verb, const char *const *targets,
		size_t n_targets);
