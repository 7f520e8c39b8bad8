/* SPDX-License-Identifier: Apache-2.0 */
/* Help and shell completion, made from the tables in args.h. */
#pragma once

#include <stdbool.h>

#include "cli/args.h"

/* All commands, or those of a group ("vm"). To standard output when it was asked for, else to
 * standard error. Returns an exit status. */
int help_overview(const char *group, bool asked);

/* Everything about one command. Returns an exit status. */
int help_command(const struct command *command);
