/* SPDX-License-Identifier: Apache-2.0 */
/* The operations: which gate a request passes before it is run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

#ifndef BANGER_VERSION
#define BANGER_VERSION "unknown"
#endif

static enum helper_reason gate_none(const struct helper *h, const void *body)
{
	(void)h;
	(void)body;
	return HELPER_OK;
}

static enum helper_reason gate_vm(const struct helper *h, const void *body)
{
	const struct helper_vm_request *req = body;

	(void)h;
	return vm_id_ok(req->vm_id) ? HELPER_OK : HELPER_BAD_VM_ID;
}

static enum helper_reason check_net(const struct helper *h, const struct helper_net_request *req,
				    unsigned int flags)
{
	if (!vm_id_ok(req->vm_id))
		return HELPER_BAD_VM_ID;
	if (!address_ok(h->config, req->address))
		return HELPER_BAD_ADDRESS;
	return req->flags & ~flags ? HELPER_BAD_FLAGS : HELPER_OK;
}

static enum helper_reason gate_net(const struct helper *h, const void *body)
{
	return check_net(h, body, 0);
}

static enum helper_reason gate_tap(const struct helper *h, const void *body)
{
	return check_net(h, body, HELPER_TAP_OPEN | HELPER_TAP_PERSIST | HELPER_TAP_NAT);
}

static enum helper_reason gate_dns(const struct helper *h, const void *body)
{
	const struct helper_dns_request *req = body;

	(void)h;
	if (req->port < PORT_MIN)
		return HELPER_BAD_PORT;
	return req->zero[0] || req->zero[1] || req->zero[2] ? HELPER_BAD_FLAGS : HELPER_OK;
}

static enum helper_reason gate_cgroup(const struct helper *h, const void *body)
{
	const struct helper_cgroup_request *req = body;

	(void)h;
	if (!vm_id_ok(req->vm_id))
		return HELPER_BAD_VM_ID;
	if ((req->memory_bytes && req->memory_bytes < MEMORY_MIN) ||
	    req->memory_bytes > MEMORY_MAX || req->cpu_percent > CPU_PERCENT_MAX ||
	    (req->pids && req->pids < PIDS_MIN) || req->pids > PIDS_MAX)
		return HELPER_BAD_LIMIT;
	return HELPER_OK;
}

static enum helper_reason gate_launch(const struct helper *h, const void *body)
{
	const struct helper_launch_request *req = body;

	(void)h;
	if (!vm_id_ok(req->vm_id))
		return HELPER_BAD_VM_ID;
	return req->zero || (req->flags & ~(uint32_t)HELPER_LAUNCH_DIRECT) ? HELPER_BAD_FLAGS
									   : HELPER_OK;
}

static bool pid_ok(const struct helper *h, int32_t pid)
{
	return pid > 1 && pid != h->self;
}

static enum helper_reason gate_signal(const struct helper *h, const void *body)
{
	const struct helper_signal_request *req = body;

	if (!pid_ok(h, req->pid))
		return HELPER_BAD_PID;
	return signal_number(req->signal, sizeof(req->signal)) ? HELPER_OK : HELPER_BAD_SIGNAL;
}

static enum helper_reason gate_kill(const struct helper *h, const void *body)
{
	static const char none[sizeof(((struct helper_signal_request *)NULL)->signal)];
	const struct helper_signal_request *req = body;

	if (!pid_ok(h, req->pid))
		return HELPER_BAD_PID;
	return memcmp(req->signal, none, sizeof(none)) == 0 ? HELPER_OK : HELPER_BAD_SIGNAL;
}

static int run_status(struct helper *h, struct call *call)
{
	struct helper_status_reply *reply = &call->reply.status;

	(void)snprintf(reply->version, sizeof(reply->version), "%s", BANGER_VERSION);
	reply->requests = h->requests;
	reply->refused = h->refused;
	reply->connections = h->connections;
	return 0;
}

static const struct {
	enum helper_reason (*gate)(const struct helper *h, const void *body);
	int (*run)(struct helper *h, struct call *call);
} operations[] = {
	[HELPER_STATUS] = { gate_none, run_status },
	[HELPER_BRIDGE_ENSURE] = { gate_none, run_bridge_ensure },
	[HELPER_TAP_CREATE] = { gate_tap, run_tap_create },
	[HELPER_TAP_DELETE] = { gate_net, run_tap_delete },
	[HELPER_NAT_ENSURE] = { gate_net, run_nat_ensure },
	[HELPER_NAT_REMOVE] = { gate_net, run_nat_remove },
	[HELPER_DNS_ROUTE] = { gate_dns, run_dns_route },
	[HELPER_DNS_CLEAR] = { gate_none, run_dns_clear },
	[HELPER_CGROUP_CREATE] = { gate_cgroup, run_cgroup_create },
	[HELPER_CGROUP_REMOVE] = { gate_vm, run_cgroup_remove },
	[HELPER_VM_LAUNCH] = { gate_launch, run_vm_launch },
	[HELPER_JAIL_REMOVE] = { gate_vm, run_jail_remove },
	[HELPER_PROCESS_SIGNAL] = { gate_signal, run_signal },
	[HELPER_PROCESS_KILL] = { gate_kill, run_kill },
};
static_assert(ARRAY_SIZE(operations) == HELPER_OP_MAX_, "a row for each operation");

int helper_answer(struct helper *h, enum helper_op op, struct call *call)
{
	int64_t start_us = clock_mono_us();
	char result[16];
	char us[24];
	int r;

	h->requests++;
	call->reason = operations[op].gate(h, call->body);
	if (call->reason == HELPER_OK) {
		call->reason = HELPER_HOST;
		r = operations[op].run(h, call);
	} else {
		r = -EINVAL;
	}
	if (r >= 0) {
		call->reason = HELPER_OK;
		r = 0;
	} else {
		h->refused++;
	}
	(void)snprintf(result, sizeof(result), "%d", r);
	(void)snprintf(us, sizeof(us), "%lld", (long long)(clock_mono_us() - start_us));
	log_fields(r < 0                 ? LOG_WARN
		   : op == HELPER_STATUS ? LOG_DEBUG
					 : LOG_INFO,
		   helper_op_name(op), "result", result, "reason", helper_reason_text(call->reason),
		   "us", us, NULL);
	return r;
}
