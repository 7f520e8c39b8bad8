/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's disk becomes an image. Its root is an overlay of image and work disk, which only a kernel
 * can put together and only root can mount: a guest does it. A copy of the disk is booted in a VM
 * that nobody sees, with the agent as its init and no network, so nothing of the disk is run; its
 * root comes as one tar stream and goes through the same confined reader as a layer of a registry.
 */
#pragma once

#include "server/vm/vm.h"

/*
 * `name` of the new image; its configuration is the VM's image's. Host keys of SSH and the
 * machine-id stay behind. Where a snapshot is allowed; the VM goes on as soon as its disk is
 * copied, its other operations wait for the end. The loop's thread.
 */
int vm_promote(struct vm *vm, const char *name, const char *who, struct op **ret_op,
	       struct error *err) MUST_USE;
