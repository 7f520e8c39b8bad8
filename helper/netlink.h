/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper asks of the kernel's network configuration. Functions return 0 or -errno. */
#pragma once

#include "helper/helper.h"

/* A /64 without a detection of duplicates; there already, or a host without IPv6: fine. */
int netlink_add_address6(unsigned int ifindex, const uint8_t address[16]) MUST_USE;

/*
 * A port of a bridge is made ready: isolated, it exchanges frames with the bridge only, not with
 * other such ports. Frames to the addresses that bridges keep to themselves (IEEE 802.1Q, 8.6.3)
 * are treated as all others; else the kernel would learn from them and take them for the port's own
 * interface, past the packet filter.
 */
int netlink_port(unsigned int ifindex, bool isolated) MUST_USE;

/* Absent is success. */
int netlink_link_delete(const char *name);

/* A descriptor that becomes readable when the packet filter changes. */
int netlink_watch(void) MUST_USE;
/* Reads what there is: true when it may be that a table went. */
bool netlink_table_gone(int watch_fd);

/* `n` up to NFT_GUEST_ELEMENTS, in one transaction; -ENOENT: nft_rules are not in force. */
int netlink_elements(const struct nft_element *elements, size_t n) MUST_USE;
