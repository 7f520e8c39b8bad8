/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of the host's loopback that lead to ports of a guest, through its link: no network device
 * is needed, and servers that listen on the guest's own loopback are reached too. A forward belongs
 * to its VM and is kept over restarts; it listens while the VM runs. All on the loop's thread.
 */
#pragma once

#include "server/store/forwards.h"
#include "server/vm/vm.h"

enum { VM_FORWARDS_MAX = 64, VM_FORWARD_CONNECTIONS_MAX = 128 /* of one VM */ };

struct vm_forward;

/* `host_port` 0: any free one. ERR_EXISTS when it is in use. */
int vm_forward_add(struct vm *vm, const char *id, uint16_t host_port, const char *guest_host,
		   uint16_t guest_port, struct vm_forward **ret_forward,
		   struct error *err) MUST_USE;
int vm_forward_get(struct vm *vm, const char *id, struct vm_forward **ret_forward,
		   struct error *err) MUST_USE;
/* With its connections. */
void vm_forward_remove(struct vm_forward *forward);
/* The first one (`after` NULL), or the one behind `after`. */
struct vm_forward *vm_forward_next(struct vm *vm, struct vm_forward *after);
/* The API's view; new reference. */
json_t *vm_forward_to_json(const struct vm_forward *forward);
