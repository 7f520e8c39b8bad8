/* SPDX-License-Identifier: Apache-2.0 */
/* /config: what is set, and where it came from. */
#include "server/config/config.h"

#include "server/api/handlers.h"

void api_config_get(struct http_request *req, void *context)
{
	const struct api *api = context;
	json_t *o = config_to_json(api->config);

	(void)json_object_set_new(o, "path", json_string(api->config_path));
	http_reply_json(req, 200, o);
}
