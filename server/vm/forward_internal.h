/* SPDX-License-Identifier: Apache-2.0 */
/* How forwards follow their VM's life; for this folder only. */
#pragma once

#include "server/vm/vm.h"

/* Reads the rows, once the VMs are there. */
int vm_forwards_load(struct vms *vms, struct error *err) MUST_USE;
/* The VM has a guest (again): they listen. */
void vm_forwards_attach(struct vm *vm);
/* The agent answers: what waits is served. */
void vm_forwards_serve(struct vm *vm);
/* The guest goes, and with it all connections. */
void vm_forwards_detach(struct vm *vm);
/* The VM goes, or the server ends: memory only. */
void vm_forwards_free(struct vm *vm);
