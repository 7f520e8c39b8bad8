/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/helper.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/log.h"
#include "lib/base/passing.h"
#include "lib/helper/wire.h"

struct call {
	enum helper_op op;
	const void *body;
	int send_fd; /* -1: none */
	void *reply; /* helper_reply_size(op) bytes; may be NULL where that is 0 */
	int *ret_fd; /* NULL: none expected */
};

static const char *socket_of(const struct helper_client *helper)
{
	return helper->socket ? helper->socket : HELPER_SOCKET;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int send_request(int sock, const struct call *call)
{
	size_t size = helper_request_size(call->op);
	struct helper_head head = {
		.magic = HELPER_MAGIC,
		.version = HELPER_VERSION,
		.op = (uint16_t)call->op,
		.length = (uint32_t)size,
	};
	const struct iovec parts[2] = { { &head, sizeof(head) },
					{ (void *)(uintptr_t)call->body, size } };
	ssize_t n;

	if (id_valid(log_op()))
		memcpy(head.op_id, log_op(), sizeof(head.op_id));
	n = send_with_fd(sock, parts, size ? 2 : 1, call->send_fd, 0);
	return n < 0 ? (int)n : 0;
}

static int wait_reply(int sock, int64_t deadline_us)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		int64_t left = deadline_us - clock_mono_us();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)((left + 999) / 1000));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* -EPROTO for anything that is not a reply to this request. */
static int receive_reply(int sock, const struct call *call, struct helper_reply *ret_reply,
			 int *ret_fd)
{
	size_t size = helper_reply_size(call->op);
	char body[HELPER_REPLY_BODY_MAX];
	const struct iovec parts[2] = { { ret_reply, sizeof(*ret_reply) }, { body, sizeof(body) } };
	int flags;
	ssize_t n = receive_with_fd(sock, parts, 2, MSG_DONTWAIT, ret_fd, &flags);

	if (n < 0)
		return (int)n;
	if (n == 0)
		return -ECONNRESET;
	if ((size_t)n < sizeof(*ret_reply) || (flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    ret_reply->magic != HELPER_MAGIC || ret_reply->version != HELPER_VERSION ||
	    ret_reply->op != (uint16_t)call->op || ret_reply->result > 0 ||
	    ret_reply->length != (size_t)n - sizeof(*ret_reply))
		return -EPROTO;
	if (ret_reply->result < 0)
		return ret_reply->length == 0 ? 0 : -EPROTO;
	if (ret_reply->length != size || (call->ret_fd != NULL) != (*ret_fd >= 0))
		return -EPROTO;
	if (size > 0)
		memcpy(call->reply, body, size);
	return 0;
}

/* 0 with *ret_reply filled, or the negative errno of the connection itself. */
static int exchange(const struct helper_client *helper, const struct call *call,
		    struct helper_reply *ret_reply)
{
	int timeout_ms = helper->timeout_ms > 0 ? helper->timeout_ms : HELPER_DEADLINE_MS;
	int64_t deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
	autoclose int sock = connect_to(socket_of(helper));
	autoclose int fd = -1;
	int r;

	if (sock < 0)
		return sock;
	r = send_request(sock, call);
	if (r < 0)
		return r;
	r = wait_reply(sock, deadline_us);
	if (r < 0)
		return r;
	r = receive_reply(sock, call, ret_reply, &fd);
	if (r < 0)
		return r;
	if (call->ret_fd && ret_reply->result == 0)
		*call->ret_fd = take_fd(&fd);
	return 0;
}

static int transport_error(const struct helper_client *helper, const struct call *call, int r,
			   struct error *err)
{
	const char *name = helper_op_name((unsigned int)call->op);

	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		return error_set(err, ERR_UNAVAILABLE,
				 "%s needs banger-helper, and none listens at %s: install it with "
				 "deploy/install, or use network: user",
				 name, socket_of(helper));
	case -EACCES:
	case -EPERM:
		return error_set(err, ERR_FORBIDDEN, "%s: the helper at %s serves another user",
				 name, socket_of(helper));
	case -ECONNRESET:
	case -EPIPE:
	case -EPROTO:
		return error_set(err, ERR_INTERNAL,
				 "%s: the helper at %s and this server do not understand each "
				 "other: are both of the same version?",
				 name, socket_of(helper));
	case -ETIMEDOUT:
		return error_set(err, ERR_TIMEOUT, "%s: the helper did not answer in time", name);
	default:
		return error_errno(err, r, "%s: helper at %s", name, socket_of(helper));
	}
}

static enum error_code code_of(unsigned int reason)
{
	switch (reason) {
	case HELPER_NOT_OURS:
	case HELPER_BAD_PID:
		return ERR_FORBIDDEN;
	case HELPER_GONE:
		return ERR_NOT_FOUND;
	case HELPER_BUSY:
		return ERR_BUSY;
	case HELPER_NO_BRIDGE:
	case HELPER_NO_FORWARDING:
	case HELPER_BINARY:
		return ERR_UNAVAILABLE;
	case HELPER_HOST:
		return ERR_INTERNAL;
	default:
		return ERR_INVALID;
	}
}

/* A helper that is being started again leaves its socket for a moment without a listener. */
static int exchange_patiently(const struct helper_client *helper, const struct call *call,
			      struct helper_reply *ret_reply)
{
	enum { TRIES = 30, PAUSE_MS = 100 };
	int r = exchange(helper, call, ret_reply);

	for (int i = 0; r == -ECONNREFUSED && i < TRIES; i++) {
		(void)poll(NULL, 0, PAUSE_MS);
		r = exchange(helper, call, ret_reply);
	}
	return r;
}

static int call_helper(const struct helper_client *helper, const struct call *call,
		       struct error *err)
{
	struct helper_reply reply = { 0 };
	int r = exchange_patiently(helper, call, &reply);

	if (r < 0)
		return transport_error(helper, call, r, err);
	if (reply.result == 0)
		return 0;
	if (reply.reason == HELPER_HOST)
		return error_errno(
			err, reply.result,
			"%s: %s; the helper's log says more (journalctl -u banger-helper)",
			helper_op_name(reply.op), helper_reason_text(reply.reason));
	(void)error_set(err, code_of(reply.reason), "%s: %s", helper_op_name(reply.op),
			helper_reason_text(reply.reason));
	return reply.result;
}

/* Ids come from the store; a wrong one is refused by the helper, not here. */
static void put_id(char *field, const char *id)
{
	memcpy(field, id, strnlen(id, HELPER_ID_LEN));
}

bool helper_present(const struct helper_client *helper)
{
	return access(socket_of(helper), F_OK) == 0;
}

int helper_status(const char *socket, int timeout_ms, char *version, size_t size,
		  unsigned int *ret_lacks)
{
	struct helper_client helper = { .socket = socket, .timeout_ms = timeout_ms };
	struct helper_status_reply status;
	struct helper_reply reply = { 0 };
	struct call call = { .op = HELPER_STATUS, .send_fd = -1, .reply = &status };
	int r = exchange(&helper, &call, &reply);

	if (r < 0)
		return r;
	if (reply.result < 0)
		return reply.result;
	(void)snprintf(version, size, "%.*s", (int)sizeof(status.version), status.version);
	*ret_lacks = status.lacks;
	return 0;
}

int helper_bridge_ensure(const struct helper_client *helper, struct helper_bridge *ret_bridge,
			 struct error *err)
{
	struct helper_bridge_reply reply = { .subnet = 0 };
	struct call call = { .op = HELPER_BRIDGE_ENSURE, .send_fd = -1, .reply = &reply };
	int r = call_helper(helper, &call, err);

	if (r < 0)
		return r;
	ret_bridge->subnet = reply.subnet;
	ret_bridge->prefix = reply.prefix;
	memcpy(ret_bridge->ula, reply.ula, sizeof(ret_bridge->ula));
	return 0;
}

int helper_tap_create(const struct helper_client *helper, const struct helper_tap *tap, int *ret_fd,
		      char *name, struct error *err)
{
	struct helper_net_request request = {
		.address = tap->address,
		.flags = (tap->open ? HELPER_TAP_OPEN : 0U) |
			 (tap->persist ? HELPER_TAP_PERSIST : 0U) |
			 (tap->nat ? HELPER_TAP_NAT : 0U),
	};
	struct helper_tap_reply reply;
	struct call call = {
		.op = HELPER_TAP_CREATE,
		.body = &request,
		.send_fd = -1,
		.reply = &reply,
		.ret_fd = ret_fd,
	};
	int r;

	put_id(request.vm_id, tap->vm_id);
	r = call_helper(helper, &call, err);
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(reply.name), "%.*s", (int)sizeof(reply.name) - 1, reply.name);
	return 0;
}

static int call_net(const struct helper_client *helper, enum helper_op op, const char *vm_id,
		    uint32_t address, struct error *err)
{
	struct helper_net_request request = { .address = address };
	struct call call = { .op = op, .body = &request, .send_fd = -1 };

	put_id(request.vm_id, vm_id);
	return call_helper(helper, &call, err);
}

int helper_tap_delete(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err)
{
	return call_net(helper, HELPER_TAP_DELETE, vm_id, address, err);
}

int helper_nat_ensure(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err)
{
	return call_net(helper, HELPER_NAT_ENSURE, vm_id, address, err);
}

int helper_nat_remove(const struct helper_client *helper, const char *vm_id, uint32_t address,
		      struct error *err)
{
	return call_net(helper, HELPER_NAT_REMOVE, vm_id, address, err);
}

int helper_dns_route(const struct helper_client *helper, uint16_t port, struct error *err)
{
	struct helper_dns_request request = { .port = port };
	struct call call = { .op = HELPER_DNS_ROUTE, .body = &request, .send_fd = -1 };

	return call_helper(helper, &call, err);
}

int helper_dns_clear(const struct helper_client *helper, struct error *err)
{
	struct call call = { .op = HELPER_DNS_CLEAR, .send_fd = -1 };

	return call_helper(helper, &call, err);
}

int helper_cgroup_create(const struct helper_client *helper, const char *vm_id,
			 const struct helper_limits *limits, struct error *err)
{
	struct helper_cgroup_request request = {
		.memory_bytes = limits->memory_bytes,
		.cpu_percent = limits->cpu_percent,
		.pids = limits->pids,
	};
	struct call call = { .op = HELPER_CGROUP_CREATE, .body = &request, .send_fd = -1 };

	put_id(request.vm_id, vm_id);
	return call_helper(helper, &call, err);
}

static int call_vm(const struct helper_client *helper, enum helper_op op, const char *vm_id,
		   struct error *err)
{
	struct helper_vm_request request = { 0 };
	struct call call = { .op = op, .body = &request, .send_fd = -1 };

	put_id(request.vm_id, vm_id);
	return call_helper(helper, &call, err);
}

int helper_cgroup_remove(const struct helper_client *helper, const char *vm_id, struct error *err)
{
	return call_vm(helper, HELPER_CGROUP_REMOVE, vm_id, err);
}

int helper_jail_remove(const struct helper_client *helper, const char *vm_id, struct error *err)
{
	return call_vm(helper, HELPER_JAIL_REMOVE, vm_id, err);
}

int helper_vm_launch(const struct helper_client *helper, const char *vm_id, int log_fd,
		     pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	struct helper_vm_request request = { 0 };
	struct helper_launch_reply reply = { .pid = 0 };
	struct call call = {
		.op = HELPER_VM_LAUNCH,
		.body = &request,
		.send_fd = log_fd,
		.reply = &reply,
		.ret_fd = ret_pidfd,
	};
	int r;

	put_id(request.vm_id, vm_id);
	r = call_helper(helper, &call, err);
	if (r < 0)
		return r;
	*ret_pid = reply.pid;
	return 0;
}

static int call_signal(const struct helper_client *helper, enum helper_op op, pid_t pid,
		       const char *signal, struct error *err)
{
	struct helper_signal_request request = { .pid = pid };
	struct call call = { .op = op, .body = &request, .send_fd = -1 };

	memcpy(request.signal, signal, strnlen(signal, sizeof(request.signal)));
	return call_helper(helper, &call, err);
}

int helper_process_signal(const struct helper_client *helper, pid_t pid, const char *signal,
			  struct error *err)
{
	return call_signal(helper, HELPER_PROCESS_SIGNAL, pid, signal, err);
}

int helper_process_kill(const struct helper_client *helper, pid_t pid, struct error *err)
{
	return call_signal(helper, HELPER_PROCESS_KILL, pid, "", err);
}
