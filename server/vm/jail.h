/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/vm/vm.h"

struct vm_boot;
struct verb_job;

/* Sets boot->jail where this install has jails and the driver can use them. 0 or -ENOMEM. */
int vm_jail_fill(const struct vms *vms, const struct vmm_driver *driver,
		 struct vm_boot *boot) MUST_USE;

/* After the process has gone; can be repeated. Says so in the log when it fails. Worker. */
void vm_jail_remove(const struct verb_job *job, const char *driver_name);
