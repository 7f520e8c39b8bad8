/* SPDX-License-Identifier: Apache-2.0 */
/* /vms/{vm}/forwards: ports of the host that lead into a guest. */
#include <stdio.h>

#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/vm/forward.h"

void api_forward_list(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct error err;
	json_t *items;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	items = json_array();
	for (struct vm_forward *f = vm_forward_next(vm, NULL); f; f = vm_forward_next(vm, f))
		(void)json_array_append_new(items, vm_forward_to_json(f));
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}

struct create_body {
	uint32_t guest_port;
	uint32_t host_port;
	const char *guest_host;
};

static const struct json_field create_fields[] = {
	{ "guest_port", JSON_FIELD_U32, offsetof(struct create_body, guest_port), true },
	{ "host_port", JSON_FIELD_U32, offsetof(struct create_body, host_port), false },
	{ "guest_host", JSON_FIELD_STRING, offsetof(struct create_body, guest_host), false },
};

void api_forward_create(struct http_request *req, void *context)
{
	struct api *api = context;
	struct create_body b = { .guest_host = "localhost" };
	struct vm_forward *f = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = json_decode(http_body(req), create_fields, ARRAY_SIZE(create_fields), &b, &err);

	if (r == 0)
		r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);
	/* A repetition of a request whose first try got no reply. */
	if (r == 0 && vm_forward_get(vm, http_new_id(req), &f, &err) == 0) {
		http_mark_replayed(req);
	} else if (r == 0) {
		err = ERROR_INIT;
		r = vm_forward_add(vm, http_new_id(req), (uint16_t)b.host_port, b.guest_host,
				   (uint16_t)b.guest_port, &f, &err);
	}
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 201, vm_forward_to_json(f));
}

void api_forward_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm_forward *f = NULL;
	struct vm *vm = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_forward_get(vm, http_param(req, "forward"), &f, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	vm_forward_remove(f);
	http_reply_empty(req, 204);
}
