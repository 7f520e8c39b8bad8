/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper asks of the kernel's network: rtnetlink(7), nfnetlink, and a tap's device. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"

enum {
	MESSAGE_MAX = 256,
	REPLY_MAX = 8192,
	RESERVED_ADDRESSES = 0xfffd, /* a bit each; the second one's frames are always dropped */
	MESSAGES_MAX = 2 + 2 * NFT_GUEST_ELEMENTS, /* with begin and end; two an element */
};

/*
 * Sends messages of which one asks for an answer, and takes it: the kernel has it ready by then.
 * The sockets stay as long as the helper lives: closing one of the packet filter waits for the
 * memory of what was changed, many milliseconds. A batch that failed may have left more answers
 * than the first.
 */
static int talk(int protocol, const void *buf, size_t size)
{
	static int socks[MAX_LINKS];
	_Alignas(struct nlmsghdr) char reply[REPLY_MAX];
	int *sock = &socks[protocol];
	ssize_t n;

	if (*sock <= 0)
		*sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (*sock < 0)
		return -errno;
	while (recv(*sock, reply, sizeof(reply), MSG_DONTWAIT) > 0)
		;
	if (send(*sock, buf, size, 0) < 0)
		return -errno;
	n = recv(*sock, reply, sizeof(reply), 0);
	return n < 0 || mnl_cb_run(reply, (size_t)n, 0, 0, NULL, NULL) < 0 ? -errno : 0;
}

static struct nlmsghdr *begin(void *buf, unsigned int type, unsigned int flags)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);

	head->nlmsg_type = (uint16_t)type;
	head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return head;
}

/* --- links and addresses --- */

/* About a link, by its index or (0) by a name that is to follow; `up`: IFF_UP. */
static struct nlmsghdr *link_message(void *buf, unsigned int type, unsigned int ifindex,
				     unsigned int up)
{
	struct nlmsghdr *head = begin(buf, type, NLM_F_ACK | (ifindex ? 0 : NLM_F_CREATE));
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));

	info->ifi_index = (int)ifindex;
	info->ifi_flags = up;
	info->ifi_change = up;
	return head;
}

static int talk_route(const struct nlmsghdr *head)
{
	return talk(NETLINK_ROUTE, head, head->nlmsg_len);
}

/*
 * An address of the bridge, of a network of `prefix` bits; there already: fine. Nobody else can
 * have it: a detection of duplicates (RFC 4862, 5.4) would keep the first guest waiting for
 * seconds.
 */
static int add_address(unsigned char family, uint32_t prefix, const void *address, size_t size)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	struct nlmsghdr *head = begin(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));
	int r;

	info->ifa_family = family;
	info->ifa_prefixlen = (unsigned char)prefix;
	info->ifa_index = if_nametoindex(HELPER_BRIDGE);
	mnl_attr_put(head, IFA_LOCAL, size, address);
	mnl_attr_put_u32(head, IFA_FLAGS, IFA_F_NODAD);
	r = talk_route(head);
	/* A host without IPv6 is fine as well. */
	return r == -EEXIST || (family == AF_INET6 && (r == -EACCES || r == -EOPNOTSUPP)) ? 0 : r;
}

/*
 * The hardware address is set, so that it does not change with the ports; the IPv6 address that the
 * kernel would make of it before the interface is up, else the kernel does it, with a detection of
 * duplicates.
 */
int netlink_bridge(const struct config *config)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	struct nlmsghdr *head = link_message(buf, RTM_NEWLINK, 0, 0);
	uint32_t gateway = config->subnet + 1;
	uint32_t v4 = htonl(gateway);
	struct nlattr *kind;
	uint8_t mac[6];
	uint8_t v6[16];
	uint8_t local[16];
	int r;

	helper_guest_mac(gateway, mac);
	helper_guest_v6(config->ula, gateway, v6);
	link_local(mac, local);
	mnl_attr_put_strz(head, IFLA_IFNAME, HELPER_BRIDGE);
	mnl_attr_put(head, IFLA_ADDRESS, sizeof(mac), mac);
	kind = mnl_attr_nest_start(head, IFLA_LINKINFO);
	mnl_attr_put_strz(head, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(head, kind);
	r = talk_route(head);
	if (r == 0)
		r = add_address(AF_INET, config->prefix, &v4, sizeof(v4));
	if (r == 0)
		r = add_address(AF_INET6, 64, local, sizeof(local));
	if (r == 0)
		r = add_address(AF_INET6, 64, v6, sizeof(v6));
	if (r == 0)
		r = talk_route(
			link_message(buf, RTM_NEWLINK, if_nametoindex(HELPER_BRIDGE), IFF_UP));
	return r;
}

/*
 * Makes an interface a port of the bridge, up. Isolated, it exchanges frames with the bridge only,
 * not with other such ports. Frames to the addresses that bridges keep to themselves (IEEE 802.1Q,
 * 8.6.3) are treated as all others; else the kernel would learn from them and take them for the
 * port's own interface, past the packet filter.
 */
static int join_bridge(unsigned int ifindex, bool isolated)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	struct nlmsghdr *head = link_message(buf, RTM_NEWLINK, ifindex, 0);
	struct nlattr *info;
	struct nlattr *port;
	int r;

	mnl_attr_put_u32(head, IFLA_MASTER, if_nametoindex(HELPER_BRIDGE));
	r = talk_route(head);
	if (r < 0)
		return r;
	head = link_message(buf, RTM_NEWLINK, ifindex, IFF_UP);
	info = mnl_attr_nest_start(head, IFLA_LINKINFO);
	port = mnl_attr_nest_start(head, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(head, IFLA_BRPORT_ISOLATED, isolated);
	mnl_attr_put_u16(head, IFLA_BRPORT_GROUP_FWD_MASK, RESERVED_ADDRESSES);
	mnl_attr_nest_end(head, port);
	mnl_attr_nest_end(head, info);
	return talk_route(head);
}

int netlink_tap(const char *name, unsigned int flags, uid_t owner)
{
	autoclose int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = { .ifr_flags =
				     (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL) };
	int r;

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &ifr) < 0)
		return -errno;
	r = join_bridge(if_nametoindex(name), !(flags & HELPER_TAP_OPEN));
	if (r < 0)
		return r;
	if ((flags & HELPER_TAP_PERSIST) &&
	    (ioctl(tap, TUNSETOWNER, (unsigned long)owner) < 0 || ioctl(tap, TUNSETPERSIST, 1) < 0))
		return -errno;
	return take_fd(&tap);
}

int netlink_link_delete(const char *name)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];
	unsigned int ifindex = if_nametoindex(name);
	int r = ifindex ? talk_route(link_message(buf, RTM_DELLINK, ifindex, 0)) : 0;

	return r == -ENODEV ? 0 : r;
}

/* --- the packet filter --- */

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
	return mnl_nlmsg_get_payload_tail(
		nft_message(at, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
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
	return talk(NETLINK_NETFILTER, buf, (size_t)(at - buf));
}
