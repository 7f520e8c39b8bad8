/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of guests, held to the host's. All on the loop's thread; nothing waits for the guest. */
#pragma once

#include "server/vm/vm_internal.h"

/*
 * The guest stood still, or has just come to be: its clock is set before it answers anything that
 * is asked of it from now on, and then held against ours.
 */
void vm_clock_set(struct vm *vm);

/* Every vms_config.clock_s, and when the host's own clock was set or the host slept. */
int vms_clock_begin(struct vms *vms, struct error *err) MUST_USE;
