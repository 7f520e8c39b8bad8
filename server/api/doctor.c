/* SPDX-License-Identifier: Apache-2.0 */
/* /doctor: the checks run on a worker, so that a slow host does not hold up the loop. */
#include "server/doctor/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/api/handlers.h"
#include "server/config/config.h"

struct check {
	struct doctor_default defaults[4];
	struct api *api;
	struct http_request *req; /* NULL: the client has left */
	bool plain;
	struct doctor_host host;
	struct doctor_context context;
	json_t *result;
};

static int run(struct op *op, void *data, struct error *err)
{
	struct check *c = data;

	op_stage(op, "checks");
	if (doctor_run(&c->context, &c->result) < 0)
		return error_errno(err, -ENOMEM, "doctor");
	return 0;
}

static void check_free(void *data)
{
	struct check *c = data;

	json_decref(c->result);
	free(c);
}

static void forget_client(void *data)
{
	struct check *c = data;

	c->req = NULL;
}

static void reply_plain(struct http_request *req, const json_t *result)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	const json_t *row;
	size_t i;

	buf_init(&b, 1 << 20);
	json_array_foreach (json_object_get(result, "checks"), i, row) {
		const char *remedy = json_string_value(json_object_get(row, "remedy"));

		(void)!buf_printf(&b, "%-5s %-24s %s\n",
				  json_string_value(json_object_get(row, "status")),
				  json_string_value(json_object_get(row, "name")),
				  json_string_value(json_object_get(row, "detail")));
		if (remedy && remedy[0])
			(void)!buf_printf(&b, "      %-24s -> %s\n", "", remedy);
	}
	http_reply_bytes(req, 200, "text/plain; charset=utf-8", buf_bytes(&b), buf_len(&b));
}

static void done(struct op *op, void *data)
{
	struct check *c = data;

	if (!c->req)
		return;
	http_on_gone(c->req, NULL, NULL);
	if (op_get_state(op) != OP_SUCCEEDED)
		http_reply_error(c->req, op_error(op), op_id(op));
	else if (c->plain)
		reply_plain(c->req, c->result);
	else
		http_reply_json(c->req, 200, json_incref(c->result));
}

static void fill_defaults(const struct api *api, struct doctor_default d[static 4])
{
	static const struct {
		const char *name;
		enum config_key key;
	} rows[] = { { "vcpus", CONFIG_VMS_VCPUS },
		     { "memory_mib", CONFIG_VMS_MEMORY },
		     { "disk_mib", CONFIG_VMS_DISK } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		d[i] = (struct doctor_default){ rows[i].name, config_text(api->config, rows[i].key),
						config_source_name(
							api->config->values[rows[i].key].source) };
	d[ARRAY_SIZE(rows)] = (struct doctor_default){ "network", api->default_network,
						       api->default_network_from };
}

void api_doctor(struct http_request *req, void *context)
{
	struct api *api = context;
	const struct vmm_driver *firecracker = vmm_find("firecracker");
	struct check *c = calloc(1, sizeof(*c));
	struct op_spec spec = { .kind = "doctor",
				.run = run,
				.done = done,
				.free_data = check_free,
				.data = c,
				.request_by = http_principal(req) };
	struct error err;
	struct op *op;

	if (!c) {
		(void)error_errno(&err, -ENOMEM, "doctor");
		http_reply_error(req, &err, NULL);
		return;
	}
	c->api = api;
	c->req = req;
	fill_defaults(api, c->defaults);
	c->plain = !http_accepts(req, "application/json");
	c->host = doctor_host_system;
	c->host.choose = vmm_choose;
	c->host.probe_firecracker = firecracker ? firecracker->probe : NULL;
	c->context = (struct doctor_context){
		.host = &c->host,
		.db_path = api->db_path,
		.state_dir = api->home->state,
		.vmm = config_text(api->config, CONFIG_SERVER_VMM),
		.n_images = (int64_t)catalog_n_images(api->catalog),
		.n_kernels = (int64_t)catalog_n_kernels(api->catalog),
		.helper_socket = config_text(api->config, CONFIG_NETWORK_HELPER),
		.no_limits = api->no_limits[0] ? api->no_limits : NULL,
		.dns_enabled = config_number(api->config, CONFIG_NETWORK_DNS_PORT) != 0,
		.dns_error = api->dns_error,
		.dns_port = (uint16_t)config_number(api->config, CONFIG_NETWORK_DNS_PORT),
		.defaults = c->defaults,
		.n_defaults = ARRAY_SIZE(c->defaults),
		.config_path = api->config_path
	};
	http_on_gone(req, forget_client, c);
	if (ops_submit(api->ops, &spec, &op, &err) < 0)
		http_reply_error(req, &err, NULL);
}
