/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "lib/base/cleanup.h"
#include "lib/helper/wire.h"
#include "server/doctor/check.h"

void check_helper(const struct doctor_context *ctx, struct doctor_row *row)
{
	const struct doctor_host *host = ctx->host;
	char version[64] = "";
	unsigned int lacks;
	struct stat st;
	int r = host->lstat(host->data, ctx->helper_socket, &st);

	if (r == -ENOENT) {
		row_set(row, DOCTOR_SKIP,
			"no helper at %s: user-mode networking works, bridge networking and jails "
			"do not",
			ctx->helper_socket);
		row_remedy(row, "deploy/install --owner $USER");
		return;
	}
	if (r == 0)
		r = host->helper_status(host->data, ctx->helper_socket, version, sizeof(version),
					&lacks);
	if (r == -EACCES || r == -EPERM)
		row_set(row, DOCTOR_FAIL, "the helper at %s serves another user",
			ctx->helper_socket);
	else if (r < 0)
		row_set(row, DOCTOR_FAIL, "the helper at %s does not answer (errno %d)",
			ctx->helper_socket, -r);
	else
		row_set(row, DOCTOR_PASS, "version %s at %s", version, ctx->helper_socket);
}

void check_dns(const struct doctor_context *ctx, struct doctor_row *row)
{
	if (!ctx->dns_enabled) {
		row_set(row, DOCTOR_SKIP, "switched off in the configuration");
	} else if (ctx->dns_error == -EADDRINUSE) {
		row_set(row, DOCTOR_WARN,
			"UDP or TCP port 127.0.0.1:%u is taken by another program: "
			"<name>.vm does not resolve",
			ctx->dns_port);
		row_remedy(row,
			   "see who holds it: ss -lunp 'sport = :%u'; end that program, or set "
			   "another dns port, and restart the server",
			   ctx->dns_port);
	} else if (ctx->dns_error < 0) {
		row_set(row, DOCTOR_WARN, "127.0.0.1:%u could not be opened (errno %d)",
			ctx->dns_port, -ctx->dns_error);
		row_remedy(row, "restart the server");
	} else {
		row_set(row, DOCTOR_PASS, "<name>.vm is answered on 127.0.0.1:%u", ctx->dns_port);
	}
}

void check_nat(const struct doctor_context *ctx, struct doctor_row *row)
{
	const struct doctor_host *host = ctx->host;
	autofree char *forward = NULL;
	unsigned int lacks = 0;
	char version[64];
	struct stat st;

	if (host->lstat(host->data, ctx->helper_socket, &st) < 0) {
		row_set(row, DOCTOR_SKIP, "no helper: user-mode networking has its own way out");
		return;
	}
	if (!host->has_program(host->data, "nft")) {
		row_set(row, DOCTOR_FAIL, "nft is not installed: guests on the bridge get no NAT");
		row_remedy(row, "apt-get install nftables");
		return;
	}
	if (host->read(host->data, "/proc/sys/net/ipv4/ip_forward", &forward) < 0 ||
	    forward[0] != '1') {
		row_set(row, DOCTOR_FAIL,
			"net.ipv4.ip_forward is off: the host drops what guests send to others");
		row_remedy(row, "sysctl -w net.ipv4.ip_forward=1");
		return;
	}
	if (host->helper_status(host->data, ctx->helper_socket, version, sizeof(version), &lacks) <
	    0) {
		row_set(row, DOCTOR_SKIP,
			"not known: the helper, which tries the rules, does not answer");
	} else if (lacks & HELPER_LACKS_FILTER) {
		row_set(row, DOCTOR_FAIL,
			"the kernel does not take the packet filter's rules: it has no nftables, "
			"or a part of it is missing; VMs with network: bridge do not start");
		row_remedy(
			row,
			"modprobe -a nf_tables nf_conntrack nft_ct nft_chain_nat nft_masq, then "
			"systemctl restart banger-helper; journalctl -u banger-helper shows what "
			"nft says");
	} else if (lacks & HELPER_LACKS_LIMIT) {
		row_set(row, DOCTOR_WARN,
			"the kernel has no \"ct count\": one guest can fill the host's table of "
			"connections");
		row_remedy(row, "modprobe nft_connlimit, then systemctl restart banger-helper");
	} else {
		row_set(row, DOCTOR_PASS,
			"the kernel takes the packet filter's rules and forwards IPv4");
	}
}
