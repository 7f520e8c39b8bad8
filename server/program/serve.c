/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include "lib/base/log.h"
#include "server/api/tokens.h"
#include "server/vm/network.h"

int start_http(struct server *s, struct error *err)
{
	const char *cert = config_text(&s->config, CONFIG_SERVER_TLS_CERT);
	const char *key = config_text(&s->config, CONFIG_SERVER_TLS_KEY);
	struct http_config config = { .socket_path = s->socket_path,
				      .tcp_host = s->listen_host,
				      .tcp_port = s->listen_port,
				      .tls_cert = cert[0] ? cert : NULL,
				      .tls_key = cert[0] ? key : NULL,
				      .web_root = s->web_root,
				      .check_token = api_check_token,
				      .issue_session = api_issue_session,
				      .revoke_session = api_revoke_session,
				      .replays = &api_replays,
				      .writable = api_writable,
				      .audit = api_audit,
				      .context = &s->api,
				      .handlers = api_handlers,
				      .n_handlers = api_n_handlers };

	int r = !cert[0] == !key[0] ? 0
				    : error_set(err, ERR_INVALID,
						"server.tls_cert and server.tls_key go together");

	if (r == 0)
		r = http_server_new(s->api.loop, &config, &s->http, err);

	s->api.http = s->http;
	s->held = r == 0 && http_server_held(s->http);
	return r;
}

void start_dns(struct server *s)
{
	struct dns_config config = {
		.port = (uint16_t)config_number(&s->config, CONFIG_NETWORK_DNS_PORT),
		.by_name = vms_dns_by_name,
		.by_v4 = vms_dns_by_v4,
		.by_v6 = vms_dns_by_v6,
		.data = s->api.vms,
	};
	struct error err = ERROR_INIT;

	if (config.port == 0)
		return;
	s->api.dns_error = dns_new(s->api.loop, &config, &s->dns, &err);
	if (s->api.dns_error < 0) {
		vms_without_dns(s->api.vms);
		log_fields(LOG_WARN, "<name>.vm is not answered; see doctor", "error", err.msg,
			   NULL);
	}
}
