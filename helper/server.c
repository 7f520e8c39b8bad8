/* SPDX-License-Identifier: Apache-2.0 */
/* The socket: who may connect, how many, for how long, and what a datagram has to look like. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/passing.h"

enum {
	CONNECTIONS_MAX = 16,
	BACKLOG = 64,
	IDLE_US = 10 * 1000 * 1000, /* a connection without a request is dropped then */
	IDLE_LOOK_MS = 1000,
};

int server_listen(const struct config *config)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(config->socket) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", config->socket);
	/* 0600 and root's from birth; the owner gets it before anybody can connect. */
	if (fd < 0 || (unlink(config->socket) < 0 && errno != ENOENT) || fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    lchown(config->socket, config->owner_uid, (gid_t)-1) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

bool peer_ok(const struct config *config, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof(peer) &&
	       (peer.uid == 0 || peer.uid == config->owner_uid);
}

static int send_reply(int fd, const struct helper_head *head, const struct call *call, int result)
{
	struct helper_reply reply = {
		.magic = HELPER_MAGIC,
		.version = HELPER_VERSION,
		.op = head->op,
		.result = result,
		.reason = (uint32_t)call->reason,
		.length = result < 0 ? 0 : (uint32_t)helper_reply_size(head->op),
	};
	const struct iovec parts[2] = { { &reply, sizeof(reply) },
					{ (void *)(uintptr_t)&call->reply, reply.length } };
	ssize_t n;

	memcpy(reply.op_id, head->op_id, sizeof(reply.op_id));
	n = send_with_fd(fd, parts, 2, call->reply_fd, MSG_DONTWAIT);
	return n < 0 ? (int)n : 0;
}

static bool head_ok(const struct helper_head *head, size_t body_len, int fd)
{
	return head->magic == HELPER_MAGIC && head->version == HELPER_VERSION && head->zero == 0 &&
	       head->op < HELPER_OP_MAX_ && head->length == body_len &&
	       body_len == helper_request_size(head->op) &&
	       (fd < 0 || head->op == HELPER_VM_LAUNCH) &&
	       (vm_id_ok(head->op_id) || all_zero(head->op_id, sizeof(head->op_id)));
}

int server_receive(struct helper *h, int fd)
{
	struct {
		struct helper_head head;
		_Alignas(8) char body[HELPER_BODY_MAX];
	} request = { 0 };
	const struct iovec part = { &request, sizeof(request) };
	struct call call = { .body = request.body, .fd = -1, .reply_fd = -1 };
	autoclose int brought = -1;
	autoclose int reply_fd = -1;
	char op_id[HELPER_ID_LEN + 1];
	int flags, r;
	ssize_t n = receive_with_fd(fd, &part, 1, MSG_DONTWAIT, &brought, &flags);

	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	if (n == 0)
		return -ECONNRESET;
	if ((size_t)n < sizeof(request.head) || (flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    !head_ok(&request.head, (size_t)n - sizeof(request.head), brought)) {
		log_warn("malformed request: connection dropped");
		return -EPROTO;
	}
	(void)snprintf(op_id, sizeof(op_id), "%.16s", request.head.op_id);
	log_set_op(op_id);
	call.fd = brought;
	r = helper_answer(h, request.head.op, &call);
	reply_fd = call.reply_fd;
	log_set_op("");
	return send_reply(fd, &request.head, &call, r);
}

/* What is polled: these, then the connections. */
enum { SIGNALS, LISTENER, FILTER, FIRST };

struct connections {
	struct pollfd p[FIRST + CONNECTIONS_MAX];
	int64_t since_us[FIRST + CONNECTIONS_MAX];
	size_t n;
};

static void drop(struct connections *c, size_t i)
{
	close_keep_errno(c->p[i].fd);
	c->n--;
	c->p[i] = c->p[c->n];
	c->since_us[i] = c->since_us[c->n];
}

static void accept_one(const struct helper *h, struct connections *c, int listen_fd)
{
	autoclose int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!peer_ok(h->config, fd)) {
		log_warn("a peer that is neither root nor the owner: connection dropped");
		return;
	}
	c->since_us[c->n] = clock_mono_us();
	c->p[c->n++] = (struct pollfd){ .fd = take_fd(&fd), .events = POLLIN };
}

static void drop_idle(struct connections *c)
{
	for (size_t i = c->n; i-- > FIRST;)
		if (clock_mono_us() - c->since_us[i] > IDLE_US)
			drop(c, i);
}

/* Reaps what has ended. True when the helper is to end as well. */
static bool read_signal(int fd)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;
	char text[64];

	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return false;
	if (si.ssi_signo != SIGCHLD)
		return true;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		log_info("process %d ended: %s", (int)pid,
			 proc_status_format(status, text, sizeof(text)));
	return false;
}

int server_run(struct helper *h, int listen_fd, int signal_fd)
{
	autoclose int watch_fd = netlink_watch();
	struct connections c = { .n = FIRST };

	if (watch_fd < 0)
		log_warn("changes of the packet filter are not seen: errno %d", -watch_fd);
	c.p[SIGNALS] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	c.p[FILTER] = (struct pollfd){ .fd = watch_fd, .events = POLLIN };
	for (;;) {
		drop_idle(&c);
		/* Full: others wait in the backlog. */
		c.p[LISTENER] = (struct pollfd){ .fd = c.n < ARRAY_SIZE(c.p) ? listen_fd : -1,
						 .events = POLLIN };
		/* Without connections an idle helper sleeps. */
		if (poll(c.p, c.n, c.n > FIRST ? IDLE_LOOK_MS : -1) < 0 && errno != EINTR)
			return -errno;
		if (c.p[SIGNALS].revents && read_signal(signal_fd))
			break;
		if (c.p[FILTER].revents && netlink_table_gone(watch_fd))
			rules_mend(h);
		for (size_t i = c.n; i-- > FIRST;) {
			if (!c.p[i].revents)
				continue;
			c.since_us[i] = clock_mono_us();
			if (server_receive(h, c.p[i].fd) < 0)
				drop(&c, i);
		}
		if (c.p[LISTENER].revents)
			accept_one(h, &c, listen_fd);
	}
	while (c.n > FIRST)
		drop(&c, c.n - 1);
	return 0;
}
