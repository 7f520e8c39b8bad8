/* SPDX-License-Identifier: Apache-2.0 */
/* How execs follow their VM's life; for this folder only. */
#pragma once

#include "server/vm/vm.h"

/* Reads the rows, once the VMs are there. */
int vm_execs_load(struct vms *vms, struct error *err) MUST_USE;
/* The VM has a guest (again): what ran in it is taken up. */
void vm_execs_attach(struct vm *vm);
/* The guest goes. Suspended, it comes back; else what ran in it is lost. */
void vm_execs_detach(struct vm *vm, bool suspended);
/* The VM goes, or the server ends: memory only. */
void vm_execs_free(struct vm *vm);
