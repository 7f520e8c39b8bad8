/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

struct cli;

/* Puts this terminal on the WebSocket at `path` (a terminal or a console) until one side ends it;
 * returns an exit status. */
int shell_run(struct cli *cli, const char *path, bool is_console);

/* False when standard input is no terminal. */
bool terminal_size(unsigned int *ret_rows, unsigned int *ret_cols);
