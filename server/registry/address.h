/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far away an address is: a registry may send us to what is at least as far away as itself, so
 * that one of the internet can't make us ask this machine or its network. The way over a proxy is
 * the owner's own choice; what is behind it is looked up there.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/macro.h"

/* The nearer, the larger. Of no kind that is known: loopback. */
enum address_reach { REACH_PUBLIC, REACH_PRIVATE, REACH_LOOPBACK, REACH_LINK };

enum address_reach address_reach(const struct sockaddr *address);
/* Of a host as it stands in a URL when it is an address, with or without brackets; else public. */
enum address_reach address_reach_of_host(const char *host);

/*
 * Whether who is at `own` may send us to `other`. Clouds serve their credentials at link-local
 * addresses: only such a one may name another.
 */
bool address_allowed(enum address_reach own, enum address_reach other);

/*
 * The proxy that the environment names for this host (http_proxy, https_proxy, all_proxy, no_proxy,
 * the last three also in capitals). False: it is asked without one, as loopback always is.
 */
bool proxy_find(bool https, const char *host, char *ret_proxy, size_t size);
