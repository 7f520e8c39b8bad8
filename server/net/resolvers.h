/* SPDX-License-Identifier: Apache-2.0 */
/* The resolvers of the host that a guest on the bridge can use as well. */
#pragma once

#include <stddef.h>

enum { RESOLVERS_MAX = 3, RESOLVER_TEXT = 16 };

/*
 * IPv4 addresses of the lines "nameserver …" in the text of a resolv.conf, without those on the
 * loopback, which no guest reaches. Pure.
 */
size_t resolvers_parse(const char *text, char ret[RESOLVERS_MAX][RESOLVER_TEXT]);

/*
 * The host's: /etc/resolv.conf, or where that names a resolver on the loopback only, what
 * systemd-resolved itself asks. May be none. Any thread.
 */
size_t resolvers_read(char ret[RESOLVERS_MAX][RESOLVER_TEXT]);
