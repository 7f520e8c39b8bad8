/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for "nft -f -": fixed words with checked numbers in them. One transaction each, so a packet
 * sees either all of it or nothing. Everything stands in the table "banger" of two families:
 *
 * bridge banger  what a guest sends is dropped unless it has the guest's own hardware address and
 *                IP addresses; one chain a guest, found by the name of its tap.
 * inet banger    guests reach the host by ICMP only, nothing beyond the host unless nat4/nat6 has
 *                them, and each other through the host only when open4 has both.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"

struct addresses {
	char v4[INET_ADDRSTRLEN];
	char v6[INET6_ADDRSTRLEN];
	char local[INET6_ADDRSTRLEN]; /* link-local, from the hardware address */
	char v6_hex[35];    /* both once more as numbers: nft has no word for the target */
	char local_hex[35]; /* of a neighbour advertisement */
	char mac[18];
};

static void format_hex(const uint8_t v6[16], char *buf)
{
	buf[0] = '0';
	buf[1] = 'x';
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(buf + 2 + 2 * i, 3, "%02x", v6[i]);
}

static void format_addresses(const struct config *config, uint32_t address, const uint8_t *mac,
			     struct addresses *ret)
{
	static const uint8_t no_mac[6];
	uint32_t net = htonl(address);
	uint8_t v6[16];
	uint8_t local[16] = { 0xfe, 0x80 };

	mac = mac ? mac : no_mac;
	memcpy(v6, config->ula, sizeof(v6));
	memcpy(v6 + 12, &net, sizeof(net));
	/* Modified EUI-64 (RFC 4291, appendix A). */
	memcpy(local + 8, mac, 3);
	local[8] ^= 2;
	local[11] = 0xff;
	local[12] = 0xfe;
	memcpy(local + 13, mac + 3, 3);
	(void)inet_ntop(AF_INET, &net, ret->v4, sizeof(ret->v4));
	(void)inet_ntop(AF_INET6, v6, ret->v6, sizeof(ret->v6));
	(void)inet_ntop(AF_INET6, local, ret->local, sizeof(ret->local));
	format_hex(v6, ret->v6_hex);
	format_hex(local, ret->local_hex);
	(void)snprintf(ret->mac, sizeof(ret->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		       mac[2], mac[3], mac[4], mac[5]);
}

static void fits(int n)
{
	assert(n > 0 && n < NFT_TEXT_MAX);
}

#define BR  "\"" HELPER_BRIDGE "\""
#define IN  "add rule inet banger input "
#define FWD "add rule inet banger forward "
#define SRC "add rule bridge banger from_guest "

void nft_base(const struct config *config, char *text)
{
	(void)config;
	fits(snprintf(text, NFT_TEXT_MAX, "%s",
		      "add table inet banger\n"
		      "add set inet banger nat4 { type ipv4_addr; }\n"
		      "add set inet banger nat6 { type ipv6_addr; }\n"
		      "add set inet banger open4 { type ipv4_addr; }\n"
		      "add chain inet banger input"
		      " { type filter hook input priority 0; policy accept; }\n"
		      "add chain inet banger forward"
		      " { type filter hook forward priority 0; policy accept; }\n"
		      "add chain inet banger postrouting"
		      " { type nat hook postrouting priority 100; policy accept; }\n"
		      "flush chain inet banger input\n"
		      "flush chain inet banger forward\n"
		      "flush chain inet banger postrouting\n" IN "iifname != " BR " accept\n" IN
		      "ct state established,related accept\n" IN
		      "meta l4proto { icmp, ipv6-icmp } accept\n" IN "counter drop\n" FWD
		      "iifname " BR " oifname " BR " ip saddr @open4 ip daddr @open4 accept\n" FWD
		      "iifname " BR " oifname " BR " counter drop\n" FWD "iifname " BR
		      " ip saddr @nat4 counter accept\n" FWD "iifname " BR
		      " ip6 saddr @nat6 counter accept\n" FWD "iifname " BR " counter drop\n" FWD
		      "oifname " BR " ct state established,related accept\n" FWD "oifname " BR
		      " counter drop\n"
		      "add rule inet banger postrouting oifname != " BR
		      " ip saddr @nat4 counter masquerade\n"
		      "add rule inet banger postrouting oifname != " BR
		      " ip6 saddr @nat6 counter masquerade\n"
		      "add table bridge banger\n"
		      "add map bridge banger guests { type ifname : verdict; }\n"
		      "add chain bridge banger from_guest"
		      " { type filter hook prerouting priority -300; policy accept; }\n"
		      "flush chain bridge banger from_guest\n" SRC
		      "iifname != \"bgr*\" accept\n" SRC "iifname vmap @guests\n" SRC
		      "counter drop\n"));
}

static int add_nat(const struct addresses *a, bool on, char *text, size_t size)
{
	/* Deleting what may be absent: added first, in the same transaction. */
	return snprintf(text, size,
			"add element inet banger nat4 { %s }\n"
			"add element inet banger nat6 { %s }\n%s%s%s%s%s",
			a->v4, a->v6, on ? "" : "delete element inet banger nat4 { ",
			on ? "" : a->v4, on ? "" : " }\ndelete element inet banger nat6 { ",
			on ? "" : a->v6, on ? "" : " }\n");
}

void nft_nat(const struct config *config, uint32_t address, bool on, char *text)
{
	struct addresses a;

	format_addresses(config, address, NULL, &a);
	fits(add_nat(&a, on, text, NFT_TEXT_MAX));
}

void nft_guest_add(const struct config *config, const struct nft_guest *guest, char *text)
{
	const char *tap = guest->tap;
	struct addresses a;
	int n;

	format_addresses(config, guest->address, guest->mac, &a);
	n = snprintf(
		text, NFT_TEXT_MAX,
		"add chain bridge banger %1$s\n"
		"flush chain bridge banger %1$s\n"
		"add rule bridge banger %1$s ether saddr != %2$s counter drop\n"
		"add rule bridge banger %1$s arp saddr ether %2$s arp saddr ip %3$s accept\n"
		"add rule bridge banger %1$s ip saddr %3$s accept\n"
		"add rule bridge banger %1$s icmpv6 type { nd-router-advert, nd-redirect }"
		" counter drop\n"
		"add rule bridge banger %1$s icmpv6 type nd-neighbor-advert"
		" @th,64,128 != { %6$s, %7$s } counter drop\n"
		"add rule bridge banger %1$s ip6 saddr { %4$s, %5$s } accept\n"
		"add rule bridge banger %1$s ip6 saddr :: icmpv6 type nd-neighbor-solicit accept\n"
		"add rule bridge banger %1$s counter drop\n"
		"add element bridge banger guests { \"%1$s\" : jump %1$s }\n"
		"add element inet banger open4 { %3$s }\n",
		tap, a.mac, a.v4, a.v6, a.local, a.v6_hex, a.local_hex);
	fits(n);
	if (!(guest->flags & HELPER_TAP_OPEN))
		n += snprintf(text + n, (size_t)(NFT_TEXT_MAX - n),
			      "delete element inet banger open4 { %s }\n", a.v4);
	n += add_nat(&a, guest->flags & HELPER_TAP_NAT, text + n, (size_t)(NFT_TEXT_MAX - n));
	fits(n);
}

void nft_guest_remove(const struct config *config, const struct nft_guest *guest, char *text)
{
	const char *tap = guest->tap;
	struct addresses a;
	int n;

	format_addresses(config, guest->address, NULL, &a);
	n = snprintf(text, NFT_TEXT_MAX,
		     "add chain bridge banger %1$s\n"
		     "add element bridge banger guests { \"%1$s\" : jump %1$s }\n"
		     "delete element bridge banger guests { \"%1$s\" : jump %1$s }\n"
		     "flush chain bridge banger %1$s\n"
		     "delete chain bridge banger %1$s\n"
		     "add element inet banger open4 { %2$s }\n"
		     "delete element inet banger open4 { %2$s }\n",
		     tap, a.v4);
	fits(n);
	n += add_nat(&a, false, text + n, (size_t)(NFT_TEXT_MAX - n));
	fits(n);
}
