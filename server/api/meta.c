/* SPDX-License-Identifier: Apache-2.0 */
/* /version, /healthz, /readyz, /capabilities: the server about itself. */
#include "server/api/handlers.h"
#include "server/config/config.h"
#include "server/run/run.h"

void api_version(struct http_request *req, void *context)
{
	(void)context;
	http_reply_json(req, 200, json_pack("{s:s}", "version", BANGER_VERSION));
}

void api_healthz(struct http_request *req, void *context)
{
	(void)context;
	http_reply_json(req, 200, json_pack("{s:s}", "status", "ok"));
}

/* What a VM needs: something to run it, an image and a kernel. */
static const char *what_is_missing(const struct api *api)
{
	if (!api->driver)
		return "no VMM can be used on this host";
	if (!catalog_default_image(api->catalog))
		return "there is no image";
	if (!catalog_default_kernel(api->catalog))
		return "there is no kernel";
	return NULL;
}

int api_writable(void *context, struct error *err)
{
	const struct api *api = context;

	return store_writable(api->store, err);
}

void api_readyz(struct http_request *req, void *context)
{
	const struct api *api = context;
	const char *missing = what_is_missing(context);
	struct error err = ERROR_INIT;

	if (!missing && store_try_write(api->store, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (!missing) {
		http_reply_json(req, 200, json_pack("{s:s}", "status", "ready"));
		return;
	}
	(void)error_set(&err, ERR_UNAVAILABLE, "%s", missing);
	http_reply_error(req, &err, NULL);
}

static json_t *features_json(const struct api *api)
{
	static const struct {
		enum vmm_cap cap;
		const char *name;
	} rows[] = {
		{ VMM_CAP_PAUSE, "pause" },
		{ VMM_CAP_SNAPSHOT, "snapshot" },
		{ VMM_CAP_USER_NET, "network_user" },
		{ VMM_CAP_TAP_FD, "network_bridge" },
	};
	json_t *list = json_array();

	for (size_t i = 0; api->driver && i < ARRAY_SIZE(rows); i++)
		if (api->driver->caps & (uint32_t)rows[i].cap)
			(void)json_array_append_new(list, json_string(rows[i].name));
	return list;
}

static json_t *limits_json(const struct api *api)
{
	return json_pack(
		"{s:I, s:I, s:I, s:i, s:I}", "vms", config_number(api->config, CONFIG_VMS_MAX),
		"memory_mib", (json_int_t)vms_memory_limit_mib(api->vms), "runs_parallel",
		config_number(api->config, CONFIG_RUNS_PARALLEL), "runs_queued", RUN_QUEUE_MAX,
		"artifacts_mib", config_number(api->config, CONFIG_RUNS_ARTIFACTS));
}

void api_capabilities(struct http_request *req, void *context)
{
	const struct api *api = context;

	http_reply_json(req, 200,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "version",
				  BANGER_VERSION, "vmm", api->driver ? api->driver->name : "none",
				  "vmm_version", api->probe->version, "accel",
				  vmm_accel_name(api->probe->accel), "why", api->vmm_why,
				  "default_network", api->default_network, "features",
				  features_json(api), "limits", limits_json(api)));
}
