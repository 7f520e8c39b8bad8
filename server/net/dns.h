/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small DNS server for <name>.vm on the loopback interface, UDP and TCP: A, AAAA and PTR of what
 * the caller's lookup knows, NXDOMAIN for other names below "vm" and for other addresses of the
 * bridge network, REFUSED for the rest of the world. What is not a query is not answered at all.
 *
 * Everything belongs to the loop's thread.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/loop/loop.h"

enum {
	DNS_PORT = 42069,
	DNS_TTL_S = 5,
	DNS_NAME_MAX = 64, /* a label and a NUL */
	DNS_MESSAGE_MAX = 512,
};

struct dns_host {
	char name[DNS_NAME_MAX]; /* the label in front of ".vm" */
	uint32_t v4;             /* 0: none; 10.0.0.1 = 0x0a000001 */
	uint8_t v6[16];          /* all zero: none */
};

struct dns_config {
	uint16_t port; /* 0: any free one */
	/* True and *ret_host filled when there is a VM of that name (lower case). */
	bool (*by_name)(void *data, const char *name, struct dns_host *ret_host);
	/* The same for an address; one of the two is given. */
	bool (*by_v4)(void *data, uint32_t v4, struct dns_host *ret_host);
	bool (*by_v6)(void *data, const uint8_t v6[16], struct dns_host *ret_host);
	void *data;
};

struct dns;

/*
 * -EADDRINUSE with ERR_BUSY when the port is taken: a thing to report, not to die of. The
 * configuration is copied.
 */
int dns_new(struct loop *loop, const struct dns_config *config, struct dns **ret_dns,
	    struct error *err) MUST_USE;
/* NULL is fine. */
void dns_free(struct dns *dns);
uint16_t dns_port(const struct dns *dns);

/*
 * The reply to one message, at most DNS_MESSAGE_MAX bytes into `reply`; returns its length, 0 for
 * no reply. Pure but for the lookups.
 */
size_t dns_answer(const struct dns_config *config, const uint8_t *query, size_t len,
		  uint8_t reply[DNS_MESSAGE_MAX]);
