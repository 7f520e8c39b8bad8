/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user-mode network of a VM that runs: the programs between its VMM and the world. When they
 * end by themselves the guest is given others; where that fails the VM says so, and what to do.
 */
#pragma once

#include "server/vm/vm.h"

/* The VM has a process: notices the end of its network, also one that has come already. */
void vm_user_net_watch(struct vm *vm);
/* It has none any more. */
void vm_user_net_forget(struct vm *vm);
/* It has ended (vm->net_ended): has another one made, as an operation. */
void vm_user_net_renew(struct vm *vm);
