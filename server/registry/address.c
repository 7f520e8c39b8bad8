/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/registry/reference.h"

/* --- reach --- */

static enum address_reach reach_v4(uint32_t ip)
{
	if (ip >> 16 == 0xa9fe)
		return REACH_LINK;
	if (ip >> 24 == 127 || ip >> 24 == 0)
		return REACH_LOOPBACK;
	if (ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 || ip >> 22 == 0x191)
		return REACH_PRIVATE;
	return REACH_PUBLIC;
}

static enum address_reach reach_v6(const struct in6_addr *ip)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
	uint32_t v4;

	memcpy(&v4, &ip->s6_addr[12], sizeof(v4));
	if (IN6_IS_ADDR_V4MAPPED(ip) || memcmp(ip->s6_addr, nat64, sizeof(nat64)) == 0)
		return reach_v4(ntohl(v4));
	if (IN6_IS_ADDR_LINKLOCAL(ip))
		return REACH_LINK;
	if (IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip))
		return REACH_LOOPBACK;
	return (ip->s6_addr[0] & 0xfe) == 0xfc ? REACH_PRIVATE : REACH_PUBLIC;
}

enum address_reach address_reach(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return reach_v4(ntohl(v4.sin_addr.s_addr));
	}
	if (address->sa_family != AF_INET6)
		return REACH_LOOPBACK;
	memcpy(&v6, address, sizeof(v6));
	return reach_v6(&v6.sin6_addr);
}

/* An address as text: 4 or 16 bytes, or 0 when it is none. */
static size_t parse(const char *host, uint8_t ret_bytes[16])
{
	char text[INET6_ADDRSTRLEN];
	size_t len = strlen(host);

	if (host[0] == '[' && len > 2 && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(text))
		return 0;
	memcpy(text, host, len);
	text[len] = '\0';
	text[strcspn(text, "%")] = '\0';
	if (inet_pton(AF_INET, text, ret_bytes) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ret_bytes) == 1 ? 16 : 0;
}

enum address_reach address_reach_of_host(const char *host)
{
	uint8_t bytes[16];
	struct in6_addr v6;
	uint32_t v4;

	switch (parse(host, bytes)) {
	case 4:
		memcpy(&v4, bytes, sizeof(v4));
		return reach_v4(ntohl(v4));
	case 16:
		memcpy(&v6, bytes, sizeof(v6));
		return reach_v6(&v6);
	default:
		return REACH_PUBLIC;
	}
}

bool address_allowed(enum address_reach own, enum address_reach other)
{
	return other <= own && (other != REACH_LOOPBACK || own == REACH_LOOPBACK);
}

/* --- proxies --- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned long bits)
{
	unsigned int rest = bits % 8;

	return memcmp(a, b, bits / 8) == 0 &&
	       (rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0);
}

/* "10.0.0.0/8" */
static bool in_network(const char *host, const char *network)
{
	uint8_t a[16], b[16];
	char text[REFERENCE_HOST_MAX + 1];
	char *slash, *end;
	unsigned long bits;
	size_t n = parse(host, a);

	(void)snprintf(text, sizeof(text), "%s", network);
	slash = strchr(text, '/');
	if (!slash || n == 0)
		return false;
	*slash = '\0';
	bits = strtoul(slash + 1, &end, 10);
	return end != slash + 1 && *end == '\0' && parse(text, b) == n && bits <= n * 8 &&
	       same_bits(a, b, bits);
}

/* One word of no_proxy: a host with all that is below it, an address, a network, or "*". */
static bool fits(const char *host, const char *word)
{
	size_t have = strlen(host), want;

	if (streq(word, "*") || in_network(host, word))
		return true;
	word += *word == '.';
	want = strlen(word);
	return want > 0 && have >= want && strcasecmp(host + have - want, word) == 0 &&
	       (have == want || host[have - want - 1] == '.');
}

static bool excepted(const char *list, const char *host)
{
	while (list && *list) {
		char word[REFERENCE_HOST_MAX + 1];
		size_t n = strcspn(list, ", ");

		if (n > 0 && n < sizeof(word)) {
			memcpy(word, list, n);
			word[n] = '\0';
			if (fits(host, word))
				return true;
		}
		list += n;
		list += strspn(list, ", ");
	}
	return false;
}

/* The environment does not change once there are threads. */
static const char *variable(const char *name, const char *capitals)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe) */

	if ((!value || !*value) && capitals)
		value = getenv(capitals); /* NOLINT(concurrency-mt-unsafe) */
	return value;
}

bool proxy_find(bool https, const char *host, char *ret_proxy, size_t size)
{
	/* In capitals a web server's clients could set it (CGI). */
	const char *proxy =
		https ? variable("https_proxy", "HTTPS_PROXY") : variable("http_proxy", NULL);
	int n;

	if (!proxy || !*proxy)
		proxy = variable("all_proxy", "ALL_PROXY");
	if (!proxy || !*proxy || reference_is_loopback(host) ||
	    excepted(variable("no_proxy", "NO_PROXY"), host))
		return false;
	n = snprintf(ret_proxy, size, "%s", proxy);
	return n > 0 && (size_t)n < size;
}
