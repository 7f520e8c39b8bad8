/* SPDX-License-Identifier: Apache-2.0 */
/* Failed VMs: what is known of the failure, and the way back. */
#pragma once

#include "server/vm/vm.h"

/* Ends and removes what the failed run has left, then boots from the disk. */
int vm_recover(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;

/* State, reason, the operation and the stage that failed, the end of the console's log. New
 * reference; NULL with err set when the log can't be read. */
json_t *vm_diagnosis(struct vm *vm, struct error *err) MUST_USE;
