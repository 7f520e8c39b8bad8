/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/resolvers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { FILE_MAX = 64 * 1024 };

static bool usable(const char *text)
{
	struct in_addr address;

	return inet_pton(AF_INET, text, &address) == 1 && address.s_addr != 0 &&
	       ntohl(address.s_addr) >> 24 != 127;
}

size_t resolvers_parse(const char *text, char ret[RESOLVERS_MAX][RESOLVER_TEXT])
{
	static const char word[] = "nameserver";
	size_t n = 0;

	for (const char *p = text; *p && n < RESOLVERS_MAX;
	     p += strcspn(p, "\n"), p += *p == '\n') {
		const char *at = p;
		size_t len;

		if (strncmp(at, word, sizeof(word) - 1) != 0)
			continue;
		at += sizeof(word) - 1;
		if (*at != ' ' && *at != '\t')
			continue;
		at += strspn(at, " \t");
		len = strcspn(at, " \t\r\n");
		if (len == 0 || len >= RESOLVER_TEXT)
			continue;
		(void)snprintf(ret[n], RESOLVER_TEXT, "%.*s", (int)len, at);
		if (usable(ret[n]))
			n++;
	}
	return n;
}

size_t resolvers_read(char ret[RESOLVERS_MAX][RESOLVER_TEXT])
{
	static const char *const files[] = { "/etc/resolv.conf",
					     "/run/systemd/resolve/resolv.conf" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		autofree char *text = NULL;
		size_t n = read_file(files[i], FILE_MAX, &text, NULL) < 0
				   ? 0
				   : resolvers_parse(text, ret);

		if (n > 0)
			return n;
	}
	return 0;
}
