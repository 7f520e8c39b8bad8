/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of the bridge network, as pure functions over what is in use: the store remembers,
 * this decides. IPv4 addresses are numbers, most significant byte first: 10.209.0.1 = 0x0ad10001.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/macro.h"

struct address_plan {
	uint32_t subnet;
	uint32_t prefix; /* 16 to 28 */
	uint8_t ula[16]; /* IPv6 prefix of 64 bits */
};

enum { ADDRESS_TEXT = 46, ADDRESS_MAC_TEXT = 18 };

/* The host's own: the first address. */
uint32_t address_gateway(const struct address_plan *plan);

/*
 * A free guest address: the first one behind `last` (the one given out before; 0: none), around the
 * end, so that an address that was just given back is used again as late as can be. -ENOSPC when
 * all are in use. `used` in any order.
 */
int address_pick(const struct address_plan *plan, const uint32_t *used, size_t n_used,
		 uint32_t last, uint32_t *ret_address) MUST_USE;

/* The guest's IPv6 address. */
void address_v6(const struct address_plan *plan, uint32_t address, uint8_t ret_v6[16]);

/* Text; `buf` of ADDRESS_TEXT bytes (ADDRESS_MAC_TEXT for the last). Each returns buf. */
char *address_format(uint32_t address, char *buf);
char *address_format_v6(const uint8_t v6[16], char *buf);
char *address_format_mac(const uint8_t mac[6], char *buf);

/*
 * Looks for a route of the host that overlaps the network, in the text of /proc/net/route; default
 * routes and those of our own bridge do not count. True when there is one: `name` (of 16 bytes) is
 * its interface.
 */
bool address_collides(const struct address_plan *plan, const char *route_table, char *name);
