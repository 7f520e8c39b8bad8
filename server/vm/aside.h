/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks without a database. The folders of VMs and snapshots mean something only to the rows that
 * name them; a start removes folders that no row names. When the database itself is new (moved
 * away, lost, emptied by a full disk) that would remove every disk there is.
 */
#pragma once

#include "lib/base/error.h"

/*
 * For a database that this start has made: moves what is in `state_dir`/vms and
 * `state_dir`/snapshots into `state_dir`/set-aside-<time>, and says so in the log. Before VMs and
 * snapshots are loaded. Does nothing where both are empty.
 */
int vms_set_aside(const char *state_dir, struct error *err) MUST_USE;
