/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/bridge.h"

#include <string.h>

int bridge_plan(const struct helper_client *helper, struct address_plan *ret_plan,
		struct error *err)
{
	struct helper_bridge bridge;
	int r = helper_bridge_ensure(helper, &bridge, err);

	if (r < 0)
		return r;
	ret_plan->subnet = bridge.subnet;
	ret_plan->prefix = bridge.prefix;
	memcpy(ret_plan->ula, bridge.ula, sizeof(ret_plan->ula));
	return 0;
}

/* One that an earlier life of the VM left behind goes first; its rules are replaced in any case. */
static int make_tap(const struct helper_client *helper, const struct helper_tap *tap,
		    struct bridge_port *port, struct error *err)
{
	int r = helper_tap_create(helper, tap, &port->tap_fd, port->tap_name, err);

	if (r == 0 || err->code != ERR_BUSY)
		return r;
	r = helper_tap_delete(helper, tap->vm_id, tap->address, err);
	return r < 0 ? r : helper_tap_create(helper, tap, &port->tap_fd, port->tap_name, err);
}

int bridge_attach(const struct helper_client *helper, const struct bridge_vm *vm, bool open,
		  bool persist, struct bridge_port *ret_port, struct error *err)
{
	struct helper_tap tap = {
		.vm_id = vm->id,
		.address = vm->address,
		.open = open,
		.persist = persist,
		.nat = vm->nat,
	};
	struct bridge_port port = BRIDGE_PORT_INIT;
	int r = make_tap(helper, &tap, &port, err);

	if (r < 0)
		return error_wrap(err, "bridge network of VM %s", vm->id);
	*ret_port = port;
	return 0;
}

int bridge_set_nat(const struct helper_client *helper, const struct bridge_vm *vm, bool nat,
		   struct error *err)
{
	if (vm->nat == nat || !vm->alive || vm->address == 0)
		return 0;
	return nat ? helper_nat_ensure(helper, vm->id, vm->address, err)
		   : helper_nat_remove(helper, vm->id, vm->address, err);
}

int bridge_detach(const struct helper_client *helper, const struct bridge_vm *vm, struct error *err)
{
	if (vm->address == 0)
		return 0;
	return helper_tap_delete(helper, vm->id, vm->address, err);
}
