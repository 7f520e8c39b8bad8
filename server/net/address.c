/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/helper/wire.h"

enum { FIRST_HOST = 2 };

uint32_t address_gateway(const struct address_plan *plan)
{
	return plan->subnet + 1;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The first free address in [from, to]; `used` is sorted. 0: none. */
static uint32_t first_free(const uint32_t *used, size_t n, uint32_t from, uint32_t to)
{
	size_t i = 0;

	while (i < n && used[i] < from)
		i++;
	for (uint32_t a = from; a <= to; a++) {
		if (i == n || used[i] != a)
			return a;
		while (i < n && used[i] == a)
			i++;
	}
	return 0;
}

int address_pick(const struct address_plan *plan, const uint32_t *used, size_t n_used,
		 uint32_t last, uint32_t *ret_address)
{
	uint32_t low = plan->subnet + FIRST_HOST;
	uint32_t high = plan->subnet + (UINT32_MAX >> plan->prefix) - 1;
	autofree uint32_t *sorted = NULL;
	uint32_t found = 0;

	if (n_used > 0) {
		sorted = calloc(n_used, sizeof(*sorted));
		if (!sorted)
			return -ENOMEM;
		memcpy(sorted, used, n_used * sizeof(*sorted));
		qsort(sorted, n_used, sizeof(*sorted), compare);
	}
	if (last >= low && last < high)
		found = first_free(sorted, n_used, last + 1, high);
	if (!found)
		found = first_free(sorted, n_used, low, high);
	if (!found)
		return -ENOSPC;
	*ret_address = found;
	return 0;
}

void address_v6(const struct address_plan *plan, uint32_t address, uint8_t ret_v6[16])
{
	helper_guest_v6(plan->ula, address, ret_v6);
}

char *address_format(uint32_t address, char *buf)
{
	uint32_t net = htonl(address);

	(void)inet_ntop(AF_INET, &net, buf, ADDRESS_TEXT);
	return buf;
}

char *address_format_v6(const uint8_t v6[16], char *buf)
{
	(void)inet_ntop(AF_INET6, v6, buf, ADDRESS_TEXT);
	return buf;
}

char *address_format_mac(const uint8_t mac[6], char *buf)
{
	(void)snprintf(buf, ADDRESS_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		       mac[2], mac[3], mac[4], mac[5]);
	return buf;
}

/* Column `n` of a line of tabs: a hexadecimal number in network order of this host. */
static bool hex_column(const char *line, int n, uint32_t *ret)
{
	char *end;
	unsigned long value;

	for (; n > 0 && line; n--) {
		line = strchr(line, '\t');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return false;
	value = strtoul(line, &end, 16);
	if (end == line || *end != '\t' || value > UINT32_MAX)
		return false;
	*ret = ntohl((uint32_t)value);
	return true;
}

bool address_collides(const struct address_plan *plan, const char *route_table, char *name)
{
	uint32_t ours = ~(UINT32_MAX >> plan->prefix);
	const char *line = strchr(route_table, '\n');

	/* The first line is the heading. */
	for (; line && line[1]; line = strchr(line + 1, '\n')) {
		const char *at = line + 1;
		size_t len = strcspn(at, "\t");
		uint32_t net;
		uint32_t mask;

		if (len == 0 || len > 15 || !hex_column(at, 1, &net) || !hex_column(at, 7, &mask))
			continue;
		if (mask == 0 ||
		    (len == strlen(HELPER_BRIDGE) && strncmp(at, HELPER_BRIDGE, len) == 0))
			continue;
		if ((net & mask & ours) != (plan->subnet & mask & ours))
			continue;
		memcpy(name, at, len);
		name[len] = '\0';
		return true;
	}
	return false;
}
