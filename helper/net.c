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

static int need_bridge(const struct helper *h, struct call *call)
{
	return h->sys->if_nametoindex(HELPER_BRIDGE) ? 0
						     : refuse(call, HELPER_NO_BRIDGE, -ENETDOWN);
}

/* True when the sets are there: nobody has flushed the tables since. */
static bool rules_stand(const struct helper *h)
{
	struct nft_element none[NFT_GUEST_ELEMENTS];

	nft_guest(h->config, TAP_PREFIX, h->config->subnet, false, 0, none);
	return h->rules && h->sys->elements(none, ARRAY_SIZE(none)) == 0;
}

/* `option` of nft: "-f", or "-cf" to try without changing anything. */
static int run_nft(struct helper *h, const char *option)
{
	const char *const argv[] = { NFT, option, "-", NULL };
	int r = h->sys->run(argv, nft_rules);

	h->lacks = r < 0                              ? HELPER_LACKS_FILTER
		   : h->sys->run(argv, nft_limit) < 0 ? HELPER_LACKS_LIMIT
						      : 0;
	return r;
}

void rules_try(struct helper *h)
{
	(void)run_nft(h, "-cf");
}

static int ensure_rules(struct helper *h)
{
	return rules_stand(h) ? 0 : run_nft(h, "-f");
}

void rules_mend(struct helper *h)
{
	int r;

	if (!h->rules || rules_stand(h))
		return;
	r = ensure_rules(h);
	log_warn("the packet filter was flushed: %s (errno %d)",
		 r < 0 ? "nothing is filtered" : "guests that run are cut off", -r);
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
static int need_forwarding(const struct helper *h, struct call *call)
{
	autoclose int fd = open_beneath(h->proc_fd, "sys/net/ipv4/ip_forward", O_RDONLY, 0);
	char c = '0';

	if (fd >= 0 && read(fd, &c, 1) == 1 && c == '1')
		return 0;
	return refuse(call, HELPER_NO_FORWARDING, -ENETUNREACH);
}

/* The last `n` of a guest's elements; `flags` as in tap.create. */
static int set_guest(const struct helper *h, struct call *call, size_t n, bool on,
		     unsigned int flags)
{
	const struct helper_net_request *req = call->body;
	struct nft_element elements[NFT_GUEST_ELEMENTS];
	char tap[TAP_NAME_SIZE];
	int r;

	tap_name(req->vm_id, tap);
	nft_guest(h->config, tap, req->address, on, flags, elements);
	r = h->sys->elements(elements + NFT_GUEST_ELEMENTS - n, n);
	if (r != -ENOENT)
		return r;
	/* Without the tables no guest has rules. */
	return on ? refuse(call, HELPER_NO_BRIDGE, r) : 0;
}

/* The rules are in force before the interface can carry a packet. */
int run_tap_create(struct helper *h, struct call *call)
{
	const struct helper_net_request *req = call->body;
	char *tap = call->reply.tap.name;
	int r = need_bridge(h, call);

	if (r == 0 && (req->flags & HELPER_TAP_NAT))
		r = need_forwarding(h, call);
	tap_name(req->vm_id, tap);
	if (r == 0 && h->sys->if_nametoindex(tap))
		r = refuse(call, HELPER_BUSY, -EBUSY);
	if (r == 0)
		r = set_guest(h, call, NFT_GUEST_ELEMENTS, true, req->flags);
	if (r < 0)
		return r;
	call->reply_fd = h->sys->tap(tap, req->flags, h->config->owner_uid);
	if (call->reply_fd >= 0)
		return 0;
	(void)set_guest(h, call, NFT_GUEST_ELEMENTS, false, 0);
	return call->reply_fd == -EBUSY ? refuse(call, HELPER_BUSY, -EBUSY) : call->reply_fd;
}

int run_tap_delete(struct helper *h, struct call *call)
{
	const struct helper_net_request *req = call->body;
	char tap[TAP_NAME_SIZE];
	int r;

	tap_name(req->vm_id, tap);
	r = h->sys->link_delete(tap);
	return r < 0 ? r : set_guest(h, call, NFT_GUEST_ELEMENTS, false, 0);
}

int run_nat(struct helper *h, struct call *call)
{
	bool on = call->op == HELPER_NAT_ENSURE;
	int r = on ? need_bridge(h, call) : 0;

	if (r == 0 && on)
		r = need_forwarding(h, call);
	return r < 0 ? r : set_guest(h, call, NFT_NAT_ELEMENTS, on, HELPER_TAP_NAT);
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
	int r = need_bridge(h, call);

	(void)snprintf(server, sizeof(server), "127.0.0.1:%u", req->port);
	/* First, so that the server is never asked for another domain (systemd.network(5),
	 * DNSDefaultRoute=). */
	if (r == 0)
		r = resolvectl(h, "domain", "~vm");
	return r < 0 ? r : resolvectl(h, "dns", server);
}

int run_dns_clear(struct helper *h, struct call *call)
{
	(void)call;
	return h->sys->if_nametoindex(HELPER_BRIDGE) ? resolvectl(h, "revert", NULL) : 0;
}
