/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.ensure, tap.create, tap.delete, nat.ensure, nat.remove, dns.route, dns.clear. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

#define NFT        "/usr/sbin/nft"
#define RESOLVECTL "/usr/bin/resolvectl"

static bool has_bridge(struct helper *h, struct call *call)
{
	if (h->sys->if_nametoindex(HELPER_BRIDGE))
		return true;
	call->reason = HELPER_NO_BRIDGE;
	return false;
}

/* True when the sets are there: nobody has flushed the tables since. */
static bool rules_stand(const struct helper *h)
{
	struct nft_element none[NFT_GUEST_ELEMENTS];

	nft_guest(h->config, TAP_PREFIX, h->config->subnet, false, 0, none);
	return h->rules && h->sys->elements(none, ARRAY_SIZE(none)) == 0;
}

static int ensure_rules(struct helper *h)
{
	static const char *const argv[] = { NFT, "-f", "-", NULL };

	return rules_stand(h) ? 0 : h->sys->run(argv, nft_rules);
}

void rules_mend(struct helper *h)
{
	int r;

	if (!h->rules || rules_stand(h))
		return;
	r = ensure_rules(h);
	log_warn("the packet filter was flushed: guests that run are cut off (errno %d)", -r);
}

int run_bridge_ensure(struct helper *h, struct call *call)
{
	int r = h->sys->bridge(h->config);

	if (r == 0)
		r = ensure_rules(h);
	if (r < 0)
		return r;
	h->rules = true;
	call->reply.bridge.subnet = h->config->subnet;
	call->reply.bridge.prefix = h->config->prefix;
	memcpy(call->reply.bridge.ula, h->config->ula, sizeof(call->reply.bridge.ula));
	return 0;
}

/* What the kernel does not do for NAT, it must have been told by root: a switch of the whole host.
 */
static bool forwarding(struct helper *h, struct call *call)
{
	autoclose int fd = open_beneath(h->proc_fd, "sys/net/ipv4/ip_forward", O_RDONLY, 0);
	char c = '0';

	if (fd >= 0 && read(fd, &c, 1) == 1 && c == '1')
		return true;
	call->reason = HELPER_NO_FORWARDING;
	return false;
}

static int set_guest(const struct helper *h, const char *tap, const struct helper_net_request *req,
		     bool on)
{
	struct nft_element elements[NFT_GUEST_ELEMENTS];

	nft_guest(h->config, tap, req->address, on, req->flags, elements);
	return h->sys->elements(elements, ARRAY_SIZE(elements));
}

/* The rules are in force before the interface can carry a packet. */
int run_tap_create(struct helper *h, struct call *call)
{
	const struct helper_net_request *req = call->body;
	char tap[TAP_NAME_SIZE];
	int fd;

	if (!has_bridge(h, call))
		return -ENETDOWN;
	if ((req->flags & HELPER_TAP_NAT) && !forwarding(h, call))
		return -ENETUNREACH;
	tap_name(req->vm_id, tap);
	if (h->sys->if_nametoindex(tap)) {
		call->reason = HELPER_BUSY;
		return -EBUSY;
	}
	fd = set_guest(h, tap, req, true);
	if (fd < 0) {
		call->reason = fd == -ENOENT ? HELPER_NO_BRIDGE : HELPER_HOST;
		return fd;
	}
	fd = h->sys->tap(tap, req->flags, h->config->owner_uid);
	if (fd < 0) {
		(void)set_guest(h, tap, req, false);
		call->reason = fd == -EBUSY ? HELPER_BUSY : HELPER_HOST;
		return fd;
	}
	memcpy(call->reply.tap.name, tap, sizeof(call->reply.tap.name));
	call->reply_fd = fd;
	return 0;
}

/* Without the tables no guest has rules. */
static int absent_is_fine(int r)
{
	return r == -ENOENT ? 0 : r;
}

int run_tap_delete(struct helper *h, struct call *call)
{
	const struct helper_net_request *req = call->body;
	char tap[TAP_NAME_SIZE];
	int r;

	tap_name(req->vm_id, tap);
	r = h->sys->link_delete(tap);
	return r < 0 ? r : absent_is_fine(set_guest(h, tap, req, false));
}

static int set_nat(const struct helper *h, const struct helper_net_request *req, bool on)
{
	struct nft_element elements[NFT_NAT_ELEMENTS];

	nft_nat(h->config, req->address, on, elements);
	return h->sys->elements(elements, ARRAY_SIZE(elements));
}

int run_nat_ensure(struct helper *h, struct call *call)
{
	int r;

	if (!has_bridge(h, call))
		return -ENETDOWN;
	if (!forwarding(h, call))
		return -ENETUNREACH;
	r = set_nat(h, call->body, true);
	if (r == -ENOENT)
		call->reason = HELPER_NO_BRIDGE;
	return r;
}

int run_nat_remove(struct helper *h, struct call *call)
{
	return absent_is_fine(set_nat(h, call->body, false));
}

static int resolvectl(struct helper *h, const char *verb, const char *value)
{
	const char *const argv[] = { RESOLVECTL, verb, HELPER_BRIDGE, value, NULL };

	return h->sys->run(argv, NULL);
}

int run_dns_route(struct helper *h, struct call *call)
{
	const struct helper_dns_request *req = call->body;
	char server[32];
	int r;

	if (!has_bridge(h, call))
		return -ENETDOWN;
	(void)snprintf(server, sizeof(server), "127.0.0.1:%u", req->port);
	r = resolvectl(h, "dns", server);
	if (r == 0)
		r = resolvectl(h, "domain", "~vm");
	if (r == 0)
		r = resolvectl(h, "default-route", "false");
	return r;
}

int run_dns_clear(struct helper *h, struct call *call)
{
	(void)call;
	if (!h->sys->if_nametoindex(HELPER_BRIDGE))
		return 0;
	return resolvectl(h, "revert", NULL);
}
