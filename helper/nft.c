/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packet filter is told. Everything stands in the table "banger" of two families:
 *
 * bridge banger  what a guest sends is dropped unless it has the guest's own hardware address and
 *                IP addresses: each set pairs the name of a tap with one of them.
 * inet banger    guests reach the host by ping only, nothing beyond the host unless nat4/nat6 has
 *                them, and each other through the host only when open4 has both.
 *
 * The rules never change: nft reads them once. A guest is nothing but elements of the sets, which
 * go to the kernel directly, all in one transaction, so a packet sees either all of it or nothing.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <string.h>

#include "helper/helper.h"

#define BR  "\"" HELPER_BRIDGE "\""
#define IN  "add rule inet banger input "
#define FWD "add rule inet banger forward "
#define NAT "add rule inet banger postrouting oifname != " BR " "
#define SRC "add rule bridge banger from_guest "

/* A bridge has up to 1024 ports; what a caller makes and never takes away has an end. */
#define SIZE "size 4096; "

/* Of one guest at a time; what has ended counts until the kernel forgets it, up to two minutes. */
#define LIMIT "8192"

/* nft has no word for the target of a neighbour advertisement: bits 64 to 191 of its payload. */
#define TARGET "iifname . @th,64,128"

/*
 * A guest's connections are counted by its hardware address, which it can't change: by both
 * families together. What is too much is dropped before the host keeps anything of it.
 */
/* clang-format off */
#define CONNECTIONS \
	"add table inet banger\n" \
	"add set inet banger connections { type ether_addr; flags dynamic; " SIZE "}\n"

const char nft_limit[] =
	CONNECTIONS
	"add chain inet banger flood"
	" { type filter hook prerouting priority -150; policy accept; }\n"
	"flush chain inet banger flood\n"
	"add rule inet banger flood iifname " BR " ct state new add @connections"
	" { ether saddr ct count over " LIMIT " } counter drop\n";

const char nft_rules[] =
	CONNECTIONS
	"add set inet banger nat4 { type ipv4_addr; }\n"
	"add set inet banger nat6 { type ipv6_addr; }\n"
	"add set inet banger open4 { type ipv4_addr; }\n"
	"add chain inet banger input { type filter hook input priority 0; policy accept; }\n"
	"add chain inet banger forward { type filter hook forward priority 0; policy accept; }\n"
	"add chain inet banger postrouting"
	" { type nat hook postrouting priority 100; policy accept; }\n"
	"flush chain inet banger input\n"
	"flush chain inet banger forward\n"
	"flush chain inet banger postrouting\n"
	IN "iifname != " BR " accept\n"
	IN "ct state established,related accept\n"
	IN "icmp type echo-request accept\n"
	IN "icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	IN "counter drop\n"
	FWD "iifname " BR " oifname " BR " ip saddr @open4 ip daddr @open4 accept\n"
	FWD "iifname " BR " oifname " BR " counter drop\n"
	FWD "iifname " BR " ip daddr 169.254.0.0/16 counter drop\n"
	FWD "iifname " BR " ip6 daddr { fd00:ec2::254, fd20:ce::254 } counter drop\n"
	FWD "iifname " BR " ip saddr @nat4 counter accept\n"
	FWD "iifname " BR " ip6 saddr @nat6 counter accept\n"
	FWD "iifname " BR " counter drop\n"
	FWD "oifname " BR " ct state established,related accept\n"
	FWD "oifname " BR " counter drop\n"
	NAT "ip saddr @nat4 counter masquerade\n"
	NAT "ip6 saddr @nat6 counter masquerade\n"
	"add table bridge banger\n"
	"add set bridge banger guests { type ifname . ether_addr; " SIZE "}\n"
	"add set bridge banger guest4 { type ifname . ipv4_addr; " SIZE "}\n"
	"add set bridge banger guest6 { type ifname . ipv6_addr; " SIZE "}\n"
	"add set bridge banger target6 { typeof " TARGET "; " SIZE "}\n"
	"add chain bridge banger from_guest"
	" { type filter hook prerouting priority -300; policy accept; }\n"
	"flush chain bridge banger from_guest\n"
	SRC "iifname != \"" TAP_PREFIX "*\" accept\n"
	SRC "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 counter drop\n" /* join_bridge() */
	SRC "ether type != { arp, ip, ip6 } counter drop\n" /* tagged frames as well */
	SRC "iifname . ether saddr != @guests counter drop\n"
	SRC "iifname . arp saddr ether @guests iifname . arp saddr ip @guest4 accept\n"
	SRC "iifname . ip saddr @guest4 accept\n"
	SRC "ether type != ip6 counter drop\n"
	SRC "ip6 saddr :: icmpv6 type nd-neighbor-solicit " TARGET " @target6 accept\n"
	SRC "iifname . ip6 saddr != @guest6 counter drop\n"
	SRC "icmpv6 type nd-neighbor-advert " TARGET " @target6 accept\n"
	SRC "icmpv6 type { nd-router-advert, nd-neighbor-advert, nd-redirect } counter drop\n"
	/* Of a fragmented packet the first part has to show that it is none of these. */
	SRC "exthdr frag missing accept\n"
	SRC "frag frag-off != 0 accept\n"
	SRC "meta l4proto { tcp, udp } accept\n"
	SRC "icmpv6 type { echo-request, echo-reply } accept\n"
	SRC "counter drop\n"; /* clang-format on */

/* Of one value, or of a tap's name and a value: each part of a key fills whole words. */
static struct nft_element element(bool on, const char *set, const char *tap, const void *value,
				  size_t size)
{
	struct nft_element e = { .family = tap ? NFPROTO_BRIDGE : NFPROTO_INET,
				 .set = set,
				 .on = on };
	size_t at = tap ? TAP_NAME_SIZE : 0;

	if (tap)
		memcpy(e.key, tap, strlen(tap));
	memcpy(e.key + at, value, size);
	e.key_size = tap ? at + ((size + 3) & ~(size_t)3) : size;
	return e;
}

void link_local(const uint8_t mac[6], uint8_t ret[16])
{
	const uint8_t address[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2],
				      0xff, 0xfe, mac[3],           mac[4], mac[5] };

	memcpy(ret, address, sizeof(address));
}

void nft_guest(const struct config *config, const char *tap, uint32_t address, bool on,
	       unsigned int flags, struct nft_element *ret)
{
	uint32_t v4 = htonl(address);
	uint8_t mac[6];
	uint8_t local[16];
	uint8_t v6[16];

	helper_guest_mac(address, mac);
	link_local(mac, local);
	helper_guest_v6(config->ula, address, v6);
	*ret++ = element(on, "guests", tap, mac, sizeof(mac));
	*ret++ = element(on, "guest4", tap, &v4, sizeof(v4));
	*ret++ = element(on, "guest6", tap, v6, sizeof(v6));
	*ret++ = element(on, "guest6", tap, local, sizeof(local));
	*ret++ = element(on, "target6", tap, v6, sizeof(v6));
	*ret++ = element(on, "target6", tap, local, sizeof(local));
	/* The kernel makes these itself. */
	*ret++ = element(false, "connections", NULL, mac, sizeof(mac));
	*ret++ = element(on && (flags & HELPER_TAP_OPEN), "open4", NULL, &v4, sizeof(v4));
	*ret++ = element(on && (flags & HELPER_TAP_NAT), "nat4", NULL, &v4, sizeof(v4));
	*ret++ = element(on && (flags & HELPER_TAP_NAT), "nat6", NULL, v6, sizeof(v6));
}
