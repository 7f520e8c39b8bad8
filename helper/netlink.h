/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper asks of the kernel's network configuration. Functions return 0 or -errno. */
#pragma once

#include "helper/helper.h"

/* A /64 without a detection of duplicates; there already, or a host without IPv6: fine. */
int netlink_add_address6(unsigned int ifindex, const uint8_t address[16]) MUST_USE;

/* An isolated port of a bridge exchanges frames with the bridge only, not with other such ports. */
int netlink_isolate(unsigned int ifindex) MUST_USE;

/* Absent is success. */
int netlink_link_delete(const char *name);

/* `n` up to NFT_GUEST_ELEMENTS, in one transaction; -ENOENT: nft_rules are not in force. */
int netlink_elements(const struct nft_element *elements, size_t n) MUST_USE;
