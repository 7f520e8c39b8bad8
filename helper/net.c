/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.ensure, tap.create, tap.delete, nat.ensure, nat.remove, dns.route, dns.clear. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

#define NFT        "/usr/sbin/nft"
#define RESOLVECTL "/usr/bin/resolvectl"

/* The text of the request at hand; the helper has one thread and allocates nothing. */
static char nft_text[NFT_TEXT_MAX];

static int run_nft(struct helper *h)
{
	static const char *const argv[] = { NFT, "-f", "-", NULL };

	return h->sys->run(h->sys->data, argv, nft_text);
}

static bool has_bridge(struct helper *h, struct call *call)
{
	if (h->sys->link_exists(h->sys->data, HELPER_BRIDGE))
		return true;
	call->reason = HELPER_NO_BRIDGE;
	return false;
}

int run_bridge_ensure(struct helper *h, struct call *call)
{
	int r = h->sys->bridge(h->sys->data, h->config);

	if (r < 0)
		return r;
	nft_base(h->config, nft_text);
	r = run_nft(h);
	if (r < 0)
		return r;
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

/* The rules are in force before the interface can carry a packet. */
int run_tap_create(struct helper *h, struct call *call)
{
	const struct helper_tap_request *req = call->body;
	struct nft_guest guest = { .address = req->address, .mac = req->mac, .flags = req->flags };
	int fd;
	int r;

	if (!has_bridge(h, call))
		return -ENETDOWN;
	if ((req->flags & HELPER_TAP_NAT) && !forwarding(h, call))
		return -ENETUNREACH;
	tap_name(req->vm_id, guest.tap);
	if (h->sys->link_exists(h->sys->data, guest.tap)) {
		call->reason = HELPER_BUSY;
		return -EBUSY;
	}
	nft_guest_add(h->config, &guest, nft_text);
	r = run_nft(h);
	if (r < 0)
		return r;
	fd = h->sys->tap(h->sys->data, guest.tap, req->flags, h->config->owner_uid);
	if (fd < 0) {
		nft_guest_remove(h->config, &guest, nft_text);
		(void)run_nft(h);
		call->reason = fd == -EBUSY ? HELPER_BUSY : HELPER_HOST;
		return fd;
	}
	memcpy(call->reply.tap.name, guest.tap, sizeof(call->reply.tap.name));
	call->reply_fd = fd;
	return 0;
}

int run_tap_delete(struct helper *h, struct call *call)
{
	const struct helper_net_request *req = call->body;
	struct nft_guest guest = { .address = req->address };
	int r;

	tap_name(req->vm_id, guest.tap);
	r = h->sys->link_delete(h->sys->data, guest.tap);
	if (r < 0)
		return r;
	/* Without a bridge no guest ever had rules. */
	if (!h->sys->link_exists(h->sys->data, HELPER_BRIDGE))
		return 0;
	nft_guest_remove(h->config, &guest, nft_text);
	return run_nft(h);
}

static int set_nat(struct helper *h, const struct call *call, bool on)
{
	const struct helper_net_request *req = call->body;

	nft_nat(h->config, req->address, on, nft_text);
	return run_nft(h);
}

int run_nat_ensure(struct helper *h, struct call *call)
{
	if (!has_bridge(h, call))
		return -ENETDOWN;
	if (!forwarding(h, call))
		return -ENETUNREACH;
	return set_nat(h, call, true);
}

int run_nat_remove(struct helper *h, struct call *call)
{
	if (!h->sys->link_exists(h->sys->data, HELPER_BRIDGE))
		return 0;
	return set_nat(h, call, false);
}

static int resolvectl(struct helper *h, const char *verb, const char *value)
{
	const char *const argv[] = { RESOLVECTL, verb, HELPER_BRIDGE, value, NULL };

	return h->sys->run(h->sys->data, argv, NULL);
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
	if (!h->sys->link_exists(h->sys->data, HELPER_BRIDGE))
		return 0;
	return resolvectl(h, "revert", NULL);
}
