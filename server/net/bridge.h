/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM on the bridge network, from the server's side: attach before the VMM starts, NAT while it
 * runs, detach when it has ended. All names follow from the VM's id, so nothing has to be
 * remembered but the address, and detach can be repeated at any time. Worker threads.
 */
#pragma once

#include "server/net/address.h"
#include "server/net/helper.h"

struct bridge_vm {
	const char *id;
	uint32_t address; /* 0: not on the bridge */
	bool nat;         /* what its row says */
	bool alive;
};

struct bridge_port {
	int tap_fd;        /* -1: none; the owner's to close */
	char tap_name[16]; /* of the interface */
};

#define BRIDGE_PORT_INIT ((struct bridge_port){ .tap_fd = -1 })

/*
 * The network that the helper serves; made if it is not there. Ask before each bridge_attach(), and
 * give addresses out of it with address_pick().
 */
int bridge_plan(const struct helper_client *helper, struct address_plan *ret_plan,
		struct error *err) MUST_USE;

/*
 * A tap for a VM that is about to start, with NAT as its row says. What an earlier life of the VM
 * left behind is taken away first. `open`: may talk to other open guests; `persist`: for a VMM that
 * opens the tap by its name. *ret_port is the caller's: close its descriptor.
 */
int bridge_attach(const struct helper_client *helper, const struct bridge_vm *vm, bool open,
		  bool persist, struct bridge_port *ret_port, struct error *err) MUST_USE;

/*
 * NAT switched: nothing is done when it is as wanted, or when the VM does not run (it gets what its
 * row says when it starts) or is not on the bridge.
 */
int bridge_set_nat(const struct helper_client *helper, const struct bridge_vm *vm, bool nat,
		   struct error *err) MUST_USE;

/* Takes tap, rules and NAT away; nothing is done for a VM that is not on the bridge. */
int bridge_detach(const struct helper_client *helper, const struct bridge_vm *vm,
		  struct error *err);
