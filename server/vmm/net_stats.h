/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the counters of a VM's network are, as files of its run folder: those of the user-mode
 * network themselves, of the bridge the name of the tap. They are found by a later server too.
 */
#pragma once

#include "lib/base/macro.h"
#include "server/netgate/counters.h"

/* New counters, all 0, to be mapped by the gate that gets this descriptor, and locked for as long
 * as it lives. The caller closes it; or a negative errno. */
int net_stats_create(int run_fd) MUST_USE;
/* Says which tap the VM has. 0 or a negative errno. */
int net_stats_set_tap(int run_fd, const char *tap) MUST_USE;
/*
 * A pidfd of the gate, readable once it has ended; the caller's. -ESRCH: it has; -ENOENT: the VM
 * has none. Any thread.
 */
int net_gate_open(int run_fd) MUST_USE;
/* Counts since the VMM's start. -ENOENT for a VM without either; any thread. */
int net_stats(int run_fd, struct net_counters *ret_counters) MUST_USE;
