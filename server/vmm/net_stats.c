/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/net_stats.h"

#include <errno.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

#define COUNTERS "net.counters"
#define TAP      "net.tap"

enum { ANSWER_MAX = 16 * 1024 };

int net_stats_create(int run_fd)
{
	const struct net_counters zero = { 0 };
	autoclose int fd = open_regular_beneath(run_fd, COUNTERS, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int r = fd < 0 ? fd : write_all(fd, &zero, sizeof(zero));

	if (r == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(&fd);
}

/* A number may be another process's by now, but not while the gate still holds its lock. */
int net_gate_open(int run_fd)
{
	autoclose int counters = open_regular_beneath(run_fd, COUNTERS, O_RDONLY, 0);
	autoclose int pidfd = -1;
	struct net_counters now;

	if (counters < 0)
		return counters;
	if (pread(counters, &now, sizeof(now), 0) != (ssize_t)sizeof(now) || now.gate == 0 ||
	    now.gate > INT_MAX)
		return -ENOENT;
	pidfd = pidfd_open((pid_t)now.gate, 0);
	if (flock(counters, LOCK_EX | LOCK_NB) == 0)
		return -ESRCH;
	return pidfd < 0 ? -EIO : take_fd(&pidfd);
}

int net_stats_set_tap(int run_fd, const char *tap)
{
	autoclose int fd = open_regular_beneath(run_fd, TAP, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	return fd < 0 ? fd : write_all(fd, tap, strlen(tap));
}

struct question {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct rtattr attr;
	char name[IFNAMSIZ];
};

/* The tap sends what the guest receives. */
static int take_answer(const struct nlmsghdr *head, size_t len, struct net_counters *ret_counters)
{
	const struct nlmsgerr *error = NLMSG_DATA(head);
	const struct rtattr *attr = IFLA_RTA(NLMSG_DATA(head));
	struct rtnl_link_stats64 stats;
	unsigned int left;

	if (!NLMSG_OK(head, len))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR)
		return error->error < 0 ? error->error : -EBADMSG;
	left = (unsigned int)IFLA_PAYLOAD(head);
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type != IFLA_STATS64 || RTA_PAYLOAD(attr) < sizeof(stats))
			continue;
		memcpy(&stats, RTA_DATA(attr), sizeof(stats));
		*ret_counters = (struct net_counters){ .rx_bytes = stats.tx_bytes,
						       .rx_packets = stats.tx_packets,
						       .tx_bytes = stats.rx_bytes,
						       .tx_packets = stats.rx_packets };
		return 0;
	}
	return -ENODATA;
}

/* Not from /sys: what that shows is the network of whoever mounted it. */
static int ask_kernel(const char *tap, struct net_counters *ret_counters)
{
	autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct question q = {
		.head = { .nlmsg_len = sizeof(q),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST },
		.link = { .ifi_family = AF_UNSPEC },
		.attr = { .rta_len = sizeof(q.attr) + sizeof(q.name), .rta_type = IFLA_IFNAME },
	};
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;
	ssize_t n;

	(void)snprintf(q.name, sizeof(q.name), "%s", tap);
	if (fd < 0 || send(fd, &q, sizeof(q), 0) != (ssize_t)sizeof(q))
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	return n < 0 ? -errno : take_answer(&answer.head, (size_t)n, ret_counters);
}

int net_stats(int run_fd, struct net_counters *ret_counters)
{
	autoclose int counters = open_regular_beneath(run_fd, COUNTERS, O_RDONLY, 0);
	autoclose int tap = -1;
	char name[IFNAMSIZ];
	ssize_t n;

	if (counters >= 0)
		return pread(counters, ret_counters, sizeof(*ret_counters), 0) ==
				       sizeof(*ret_counters)
			       ? 0
			       : -EIO;
	tap = open_regular_beneath(run_fd, TAP, O_RDONLY, 0);
	if (tap < 0)
		return tap;
	n = pread(tap, name, sizeof(name) - 1, 0);
	name[n > 0 ? n : 0] = '\0';
	return ask_kernel(name, ret_counters);
}
