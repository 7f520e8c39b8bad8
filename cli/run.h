/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

struct cli;

/* Runs what the body of POST /vms/{vm}/exec says in the VM at `vm_path` ("/vms/web"), its output
 * on ours; returns the exit status. */
int exec_body_in(struct cli *cli, const json_t *body, const char *vm_path);
