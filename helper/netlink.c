/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the kernel's network configuration: rtnetlink(7) and nfnetlink. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "helper/netlink.h"
#include "lib/base/cleanup.h"

enum {
	MESSAGE_MAX = 256,
	REPLY_MAX = 8192,
	RESERVED_ADDRESSES = 0xfffd, /* a bit each; the second one's frames are always dropped */
	MESSAGES_MAX = 2 + 2 * NFT_GUEST_ELEMENTS, /* with begin and end; two an element */
};

/* Sends messages of which one asks for an answer, and takes it: the kernel has it ready by then. */
static int talk(int sock, const void *buf, size_t size)
{
	_Alignas(struct nlmsghdr) char reply[REPLY_MAX];
	ssize_t n;

	if (send(sock, buf, size, 0) < 0)
		return -errno;
	n = recv(sock, reply, sizeof(reply), 0);
	return n < 0 || mnl_cb_run(reply, (size_t)n, 0, 0, NULL, NULL) < 0 ? -errno : 0;
}

static int talk_route(const struct nlmsghdr *head)
{
	autoclose int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return sock < 0 ? -errno : talk(sock, head, head->nlmsg_len);
}

/*
 * On one socket as long as the helper lives: closing one waits for the memory of what was changed,
 * many milliseconds. A batch that failed may have left more answers than the first.
 */
static int talk_filter(const void *buf, size_t size)
{
	static int sock = -1;
	char old[REPLY_MAX];

	if (sock < 0)
		sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (sock < 0)
		return -errno;
	while (recv(sock, old, sizeof(old), MSG_DONTWAIT) > 0)
		;
	return talk(sock, buf, size);
}

int netlink_watch(void)
{
	const struct sockaddr_nl addr = { .nl_family = AF_NETLINK,
					  .nl_groups = 1 << (NFNLGRP_NFTABLES - 1) };
	autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return take_fd(&fd);
}

bool netlink_table_gone(int watch_fd)
{
	static _Alignas(struct nlmsghdr) char buf[REPLY_MAX];
	bool gone = false;
	ssize_t n;

	while ((n = recv(watch_fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		int left = (int)n;

		for (const struct nlmsghdr *head = (const void *)buf; mnl_nlmsg_ok(head, left);
		     head = mnl_nlmsg_next(head, &left))
			gone |= head->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE);
	}
	/* More than could be kept for us. */
	return gone || errno == ENOBUFS;
}

static struct nlmsghdr *begin(void *buf, unsigned int type, unsigned int flags)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);

	head->nlmsg_type = (uint16_t)type;
	head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return head;
}

int netlink_add_address6(unsigned int ifindex, const uint8_t address[16])
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	struct nlmsghdr *head = begin(buf, RTM_NEWADDR, NLM_F_ACK);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));
	int r;

	info->ifa_family = AF_INET6;
	info->ifa_prefixlen = 64;
	info->ifa_index = ifindex;
	mnl_attr_put(head, IFA_LOCAL, 16, address);
	mnl_attr_put_u32(head, IFA_FLAGS, IFA_F_NODAD);
	r = talk_route(head);
	return r == -EEXIST || r == -EACCES || r == -EOPNOTSUPP ? 0 : r;
}

static struct nlmsghdr *link_message(void *buf, unsigned int type, unsigned char family,
				     unsigned int ifindex)
{
	struct nlmsghdr *head = begin(buf, type, NLM_F_ACK);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));

	info->ifi_family = family;
	info->ifi_index = (int)ifindex;
	return head;
}

int netlink_port(unsigned int ifindex, bool isolated)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	struct nlmsghdr *head = link_message(buf, RTM_SETLINK, AF_BRIDGE, ifindex);
	struct nlattr *port = mnl_attr_nest_start(head, IFLA_PROTINFO);

	mnl_attr_put_u8(head, IFLA_BRPORT_ISOLATED, isolated);
	mnl_attr_put_u16(head, IFLA_BRPORT_GROUP_FWD_MASK, RESERVED_ADDRESSES);
	mnl_attr_nest_end(head, port);
	return talk_route(head);
}

int netlink_link_delete(const char *name)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	unsigned int ifindex = if_nametoindex(name);
	struct nlmsghdr *head = link_message(buf, RTM_DELLINK, AF_UNSPEC, ifindex);
	int r = ifindex ? talk_route(head) : 0;

	return r == -ENODEV ? 0 : r;
}

/* A message of nfnetlink; `id` is the subsystem for the edges of a batch. */
static struct nlmsghdr *nft_message(void *buf, unsigned int type, unsigned int flags,
				    unsigned char family, uint16_t id)
{
	struct nlmsghdr *head = begin(buf, type, flags);
	struct nfgenmsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));

	info->nfgen_family = family;
	info->version = NFNETLINK_V0;
	info->res_id = htons(id);
	return head;
}

/* These return where the next message begins. */
static char *put_edge(char *at, unsigned int type)
{
	struct nlmsghdr *head = nft_message(at, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);

	return mnl_nlmsg_get_payload_tail(head);
}

static char *put_element(char *at, unsigned int type, unsigned int flags,
			 const struct nft_element *e)
{
	struct nlmsghdr *head =
		nft_message(at, NFNL_SUBSYS_NFTABLES << 8 | type, flags, e->family, 0);
	struct nlattr *list;
	struct nlattr *item;
	struct nlattr *key;

	mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
	mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_SET, e->set);
	list = mnl_attr_nest_start(head, NFTA_SET_ELEM_LIST_ELEMENTS);
	item = mnl_attr_nest_start(head, NFTA_LIST_ELEM);
	key = mnl_attr_nest_start(head, NFTA_SET_ELEM_KEY);
	mnl_attr_put(head, NFTA_DATA_VALUE, e->key_size, e->key);
	mnl_attr_nest_end(head, key);
	mnl_attr_nest_end(head, item);
	mnl_attr_nest_end(head, list);
	return mnl_nlmsg_get_payload_tail(head);
}

/*
 * Taking away what may be absent is an error: it is added first. The kernel reports the errors of a
 * batch in the order of its messages, so the last one's acknowledgement comes first only when all
 * went well.
 */
int netlink_elements(const struct nft_element *elements, size_t n)
{
	static _Alignas(struct nlmsghdr) char buf[MESSAGES_MAX * MESSAGE_MAX];
	char *at = put_edge(buf, NFNL_MSG_BATCH_BEGIN);

	if (n == 0 || n > NFT_GUEST_ELEMENTS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		unsigned int ack = i == n - 1 ? NLM_F_ACK : 0;
		unsigned int on = elements[i].on;

		at = put_element(at, NFT_MSG_NEWSETELEM, NLM_F_CREATE | (on ? ack : 0),
				 &elements[i]);
		if (!on)
			at = put_element(at, NFT_MSG_DELSETELEM, ack, &elements[i]);
	}
	at = put_edge(at, NFNL_MSG_BATCH_END);
	return talk_filter(buf, (size_t)(at - buf));
}
