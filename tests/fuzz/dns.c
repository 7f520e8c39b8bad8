/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS message in; a reply has the query's id, says that it is one, and fits. */
#include <assert.h>
#include <string.h>

#include "server/net/dns.h"
#include "tests/fuzz/fuzz.h"

static bool some(struct dns_host *ret_host)
{
	*ret_host = (struct dns_host){ .name = "web", .v4 = 0x0ad10005, .v6 = { 0xfd } };
	return true;
}

static bool by_name(void *data, const char *name, struct dns_host *ret_host)
{
	(void)data;
	assert(strlen(name) > 0 && strlen(name) < DNS_NAME_MAX);
	return name[0] != 'x' && some(ret_host);
}

static bool by_v4(void *data, uint32_t v4, struct dns_host *ret_host)
{
	(void)data;
	return (v4 & 1) && some(ret_host);
}

static bool by_v6(void *data, const uint8_t v6[16], struct dns_host *ret_host)
{
	(void)data;
	return (v6[15] & 1) && some(ret_host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dns_config config = { .by_name = by_name,
						  .by_v4 = by_v4,
						  .by_v6 = by_v6 };
	uint8_t reply[DNS_MESSAGE_MAX];
	size_t len = dns_answer(&config, data, size, reply);

	assert(len <= sizeof(reply));
	if (len > 0) {
		assert(len >= 12 && size >= 12);
		assert(reply[0] == data[0] && reply[1] == data[1] && (reply[2] & 0x80));
	}
	return 0;
}
