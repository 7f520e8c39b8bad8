/* SPDX-License-Identifier: Apache-2.0 */
/* The operations: which gate a request passes before it is run. */
#include <errno.h>
#include <stdio.h>

#include "helper/helper.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

enum {
	MEMORY_MIN = 16 * 1024 * 1024,
	CPU_PERCENT_MAX = 100 * 1024,
	PIDS_MIN = 8,
	PIDS_MAX = 1 << 20,
	PORT_MIN = 1024,
};
#define MEMORY_MAX ((uint64_t)1 << 46)

static enum helper_reason gate_net(const struct helper *h, const struct call *call)
{
	const struct helper_net_request *req = call->body;
	unsigned int known = HELPER_TAP_OPEN | HELPER_TAP_PERSIST | HELPER_TAP_NAT;

	if (!address_ok(h->config, req->address))
		return HELPER_BAD_ADDRESS;
	return req->flags & ~(call->op == HELPER_TAP_CREATE ? known : 0) ? HELPER_BAD_FLAGS
									 : HELPER_OK;
}

static enum helper_reason gate_dns(const struct helper *h, const struct call *call)
{
	const struct helper_dns_request *req = call->body;

	(void)h;
	if (req->port < PORT_MIN)
		return HELPER_BAD_PORT;
	return all_zero(req->zero, sizeof(req->zero)) ? HELPER_OK : HELPER_BAD_FLAGS;
}

static enum helper_reason gate_cgroup(const struct helper *h, const struct call *call)
{
	const struct helper_cgroup_request *req = call->body;

	(void)h;
	if ((req->memory_bytes && req->memory_bytes < MEMORY_MIN) ||
	    req->memory_bytes > MEMORY_MAX || req->cpu_percent > CPU_PERCENT_MAX ||
	    (req->pids && req->pids < PIDS_MIN) || req->pids > PIDS_MAX)
		return HELPER_BAD_LIMIT;
	return HELPER_OK;
}

static enum helper_reason gate_signal(const struct helper *h, const struct call *call)
{
	const struct helper_signal_request *req = call->body;

	if (req->pid <= 1 || req->pid == h->self)
		return HELPER_BAD_PID;
	return signal_asked(call) ? HELPER_OK : HELPER_BAD_SIGNAL;
}

static int run_status(struct helper *h, struct call *call)
{
	struct helper_status_reply *reply = &call->reply.status;

	(void)snprintf(reply->version, sizeof(reply->version), "%s", BANGER_VERSION);
	reply->lacks = h->lacks;
	return 0;
}

static const struct {
	bool of_vm; /* the body begins with the VM's id */
	enum helper_reason (*gate)(const struct helper *h, const struct call *call);
	int (*run)(struct helper *h, struct call *call);
} operations[] = {
	[HELPER_STATUS] = { false, NULL, run_status },
	[HELPER_BRIDGE_ENSURE] = { false, NULL, run_bridge_ensure },
	[HELPER_TAP_CREATE] = { true, gate_net, run_tap_create },
	[HELPER_TAP_DELETE] = { true, gate_net, run_tap_delete },
	[HELPER_NAT_ENSURE] = { true, gate_net, run_nat },
	[HELPER_NAT_REMOVE] = { true, gate_net, run_nat },
	[HELPER_DNS_ROUTE] = { false, gate_dns, run_dns_route },
	[HELPER_DNS_CLEAR] = { false, NULL, run_dns_clear },
	[HELPER_CGROUP_CREATE] = { true, gate_cgroup, run_cgroup_create },
	[HELPER_CGROUP_REMOVE] = { true, NULL, run_cgroup_remove },
	[HELPER_VM_LAUNCH] = { true, NULL, run_vm_launch },
	[HELPER_JAIL_REMOVE] = { true, NULL, run_jail_remove },
	[HELPER_PROCESS_SIGNAL] = { false, gate_signal, run_signal },
	[HELPER_PROCESS_KILL] = { false, gate_signal, run_signal },
};
static_assert(ARRAY_SIZE(operations) == HELPER_OP_MAX_, "a row for each operation");

int helper_answer(struct helper *h, enum helper_op op, struct call *call)
{
	int64_t start_us = clock_mono_us();
	enum log_level level = op == HELPER_STATUS ? LOG_DEBUG : LOG_INFO;
	char result[16];
	char us[24];
	int r = -EINVAL;

	call->op = op;
	if (operations[op].of_vm && !vm_id_ok(call->body))
		call->reason = HELPER_BAD_VM_ID;
	else
		call->reason = operations[op].gate ? operations[op].gate(h, call) : HELPER_OK;
	if (call->reason == HELPER_OK) {
		call->reason = HELPER_HOST;
		r = operations[op].run(h, call);
	}
	if (r == 0)
		call->reason = HELPER_OK;
	else
		level = LOG_WARN;
	(void)snprintf(result, sizeof(result), "%d", r);
	(void)snprintf(us, sizeof(us), "%lld", (long long)(clock_mono_us() - start_us));
	log_fields(level, helper_op_name(op), "result", result, "reason",
		   helper_reason_text(call->reason), "us", us, NULL);
	return r;
}
