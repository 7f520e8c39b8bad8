/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between a VMM and passt: frames one way are filtered, bytes the other way are not. */
#pragma once

#include "server/netgate/counters.h"

/*
 * Runs until either side closes or breaks the rules. Descriptors are borrowed and become
 * non-blocking. Uses static buffers: one relay a process. Makes no system calls but ppoll, read and
 * write once it runs. What passes is counted in `counters`.
 */
void relay_run(int vmm_fd, int passt_fd, struct net_counters *counters);
