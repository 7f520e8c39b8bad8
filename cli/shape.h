/* SPDX-License-Identifier: Apache-2.0 */
/* What several commands do alike: bodies for POST /vms, lists of names, "show" of anything. */
#pragma once

#include "cli/cli.h"

/* The body of POST /vms from the options. New reference, or NULL when a value is no UTF-8. */
json_t *shape_body(const struct args *args);

/* One name a line, for scripts and completion. Returns an exit status. */
int print_names(const json_t *list);

/* "key value" lines; what is nested is shown as JSON. */
void print_resource(const json_t *resource);

/* GET of each argument below `collection`, as JSON. Returns an exit status. */
int show_each(struct cli *cli, const struct args *args, const char *collection);

/* DELETE of each argument below `collection`, its name printed when done. Returns an exit status.
 */
int cancel_each(struct cli *cli, const struct args *args, const char *collection);
