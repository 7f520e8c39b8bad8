/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/helper/wire.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/macro.h"

static const struct {
	const char *name;
	size_t request;
	size_t reply;
} ops[] = {
	[HELPER_STATUS] = { "status", 0, sizeof(struct helper_status_reply) },
	[HELPER_BRIDGE_ENSURE] = { "bridge.ensure", 0, sizeof(struct helper_bridge_reply) },
	[HELPER_TAP_CREATE] = { "tap.create", sizeof(struct helper_net_request),
				sizeof(struct helper_tap_reply) },
	[HELPER_TAP_DELETE] = { "tap.delete", sizeof(struct helper_net_request), 0 },
	[HELPER_NAT_ENSURE] = { "nat.ensure", sizeof(struct helper_net_request), 0 },
	[HELPER_NAT_REMOVE] = { "nat.remove", sizeof(struct helper_net_request), 0 },
	[HELPER_DNS_ROUTE] = { "dns.route", sizeof(struct helper_dns_request), 0 },
	[HELPER_DNS_CLEAR] = { "dns.clear", 0, 0 },
	[HELPER_CGROUP_CREATE] = { "cgroup.create", sizeof(struct helper_cgroup_request), 0 },
	[HELPER_CGROUP_REMOVE] = { "cgroup.remove", sizeof(struct helper_vm_request), 0 },
	[HELPER_VM_LAUNCH] = { "vm.launch", sizeof(struct helper_vm_request),
			       sizeof(struct helper_launch_reply) },
	[HELPER_JAIL_REMOVE] = { "jail.remove", sizeof(struct helper_vm_request), 0 },
	[HELPER_PROCESS_SIGNAL] = { "process.signal", sizeof(struct helper_signal_request), 0 },
	[HELPER_PROCESS_KILL] = { "process.kill", sizeof(struct helper_signal_request), 0 },
};
static_assert(ARRAY_SIZE(ops) == HELPER_OP_MAX_, "a row for each operation");

static const char *const reasons[] = {
	[HELPER_OK] = "done",
	[HELPER_BAD_VM_ID] = "not a VM id",
	[HELPER_BAD_ADDRESS] = "not a guest address of the bridge",
	[HELPER_BAD_FLAGS] = "an unknown flag is set",
	[HELPER_BAD_LIMIT] = "a limit is out of range",
	[HELPER_BAD_PORT] = "a port below 1024",
	[HELPER_BAD_FD] = "the descriptor is not a pipe",
	[HELPER_BAD_SIGNAL] = "not a signal that may be sent",
	[HELPER_BAD_PID] = "not a process that may be touched",
	[HELPER_NOT_OURS] = "no proof that the process is banger's",
	[HELPER_GONE] = "no such process",
	[HELPER_NO_BRIDGE] = "the bridge is not there yet",
	[HELPER_BINARY] = "a program is missing, or not safe to run as root",
	[HELPER_BUSY] = "still in use, or already there",
	[HELPER_NO_FORWARDING] = "net.ipv4.ip_forward is off",
	[HELPER_HOST] = "the host refused",
};
static_assert(ARRAY_SIZE(reasons) == HELPER_REASON_MAX_, "a sentence for each reason");

const char *helper_op_name(unsigned int op)
{
	return op < ARRAY_SIZE(ops) ? ops[op].name : "?";
}

size_t helper_request_size(enum helper_op op)
{
	return ops[op].request;
}

size_t helper_reply_size(enum helper_op op)
{
	return ops[op].reply;
}

const char *helper_reason_text(unsigned int reason)
{
	return reason < ARRAY_SIZE(reasons) ? reasons[reason] : "unknown reason";
}

const char *helper_binary_problem(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return "is a symbolic link";
	if (!S_ISREG(st->st_mode))
		return "is not a regular file";
	if (st->st_uid != 0)
		return "is not owned by root";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "is writable by group or others";
	if (!(st->st_mode & S_IXUSR))
		return "is not executable";
	return NULL;
}

void helper_guest_mac(uint32_t address, uint8_t ret_mac[6])
{
	uint32_t net = htonl(address);

	ret_mac[0] = 2;
	ret_mac[1] = 'b';
	memcpy(ret_mac + 2, &net, sizeof(net));
}

void helper_guest_v6(const uint8_t ula[16], uint32_t address, uint8_t ret_v6[16])
{
	uint32_t net = htonl(address);

	memcpy(ret_v6, ula, 12);
	memcpy(ret_v6 + 12, &net, sizeof(net));
}
