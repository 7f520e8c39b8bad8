/* SPDX-License-Identifier: Apache-2.0 */
/* PATCH /vms/{vm}, its holds, and what is known of a failure. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/vm/idle.h"
#include "server/vm/network.h"
#include "server/vm/recover.h"
#include "server/vm/settings.h"

struct change_body {
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t disk_mib;
	bool nat;
	const json_t *labels;
	int64_t ttl_s;
	int64_t idle_stop_s;
	int64_t idle_suspend_s;
	const char *wake;
};

static const struct json_field change_fields[] = {
	{ "vcpus", JSON_FIELD_U32, offsetof(struct change_body, vcpus), false },
	{ "memory_mib", JSON_FIELD_U32, offsetof(struct change_body, memory_mib), false },
	{ "disk_mib", JSON_FIELD_U32, offsetof(struct change_body, disk_mib), false },
	{ "nat", JSON_FIELD_BOOL, offsetof(struct change_body, nat), false },
	{ "labels", JSON_FIELD_VALUE, offsetof(struct change_body, labels), false },
	{ "ttl_s", JSON_FIELD_I64, offsetof(struct change_body, ttl_s), false },
	{ "idle_stop_s", JSON_FIELD_I64, offsetof(struct change_body, idle_stop_s), false },
	{ "idle_suspend_s", JSON_FIELD_I64, offsetof(struct change_body, idle_suspend_s), false },
	{ "wake", JSON_FIELD_STRING, offsetof(struct change_body, wake), false },
};

void api_vm_update(struct http_request *req, void *context)
{
	struct api *api = context;
	struct change_body b = { .ttl_s = -1, .idle_stop_s = -1, .idle_suspend_s = -1 };
	struct vm_change change;
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = json_decode(http_body(req), change_fields, ARRAY_SIZE(change_fields), &b, &err);

	change = (struct vm_change){ .vcpus = b.vcpus,
				     .memory_mib = b.memory_mib,
				     .disk_mib = b.disk_mib,
				     .nat = -1,
				     .labels = b.labels,
				     .ttl_s = b.ttl_s,
				     .idle_stop_s = b.idle_stop_s,
				     .idle_suspend_s = b.idle_suspend_s,
				     .wake = b.wake };
	if (json_object_get(http_body(req), "nat"))
		change.nat = b.nat;
	if (r == 0)
		r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);
	/* NAT of a running VM is the helper's work; when that is done there is nothing left to
	 * switch. */
	if (r == 0 && change.nat >= 0) {
		r = vm_set_check(vm, &change, &err);
		if (r == 0)
			r = vm_network_set_nat(vm, b.nat, http_principal(req), &op, &err);
	}
	if (r == 0 && op) {
		api_go_on_after(req, api, op, api_vm_update);
		return;
	}
	if (r == 0)
		r = http_check_if_match_json(req, vm_to_json(vm), &err);
	if (r == 0)
		r = vm_set(vm, &change, http_principal(req), &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 200, vm_to_json(vm));
}

void api_vm_diagnosis(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct error err;
	json_t *o = NULL;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) == 0)
		o = vm_diagnosis(vm, &err);
	if (o)
		http_reply_json(req, 200, o);
	else
		http_reply_error(req, &err, NULL);
}

/* --- holds --- */

struct hold_body {
	uint32_t ttl_s;
	const char *reason;
};

static const struct json_field hold_fields[] = {
	{ "ttl_s", JSON_FIELD_U32, offsetof(struct hold_body, ttl_s), true },
	{ "reason", JSON_FIELD_STRING, offsetof(struct hold_body, reason), false },
};

static json_t *hold_to_json(const struct vm_hold *hold)
{
	char when[32];
	json_t *o = json_pack("{s:s, s:s, s:s}", "id", hold->row.id, "by", hold->row.who, "expires",
			      clock_format_ms(hold->row.expires_ms, when));

	if (hold->row.reason[0])
		(void)json_object_set_new(o, "reason", json_string(hold->row.reason));
	return o;
}

void api_hold_list(struct http_request *req, void *context)
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
	for (const struct vm_hold *h = vm_holds(vm); h; h = h->next)
		(void)json_array_append_new(items, hold_to_json(h));
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}

void api_hold_create(struct http_request *req, void *context)
{
	struct api *api = context;
	struct hold_body b = { 0 };
	const struct vm_hold *hold = NULL;
	struct vm *vm = NULL;
	struct error err;
	char location[80];
	int r = json_decode(http_body(req), hold_fields, ARRAY_SIZE(hold_fields), &b, &err);

	if (r == 0)
		r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);
	if (r == 0)
		r = vm_hold(vm, b.ttl_s, b.reason, http_principal(req), &hold, &err);
	if (r < 0 || !hold) {
		http_reply_error(req, &err, NULL);
		return;
	}
	(void)snprintf(location, sizeof(location), "/vms/%s/holds/%s", vm_row(vm)->id,
		       hold->row.id);
	http_reply_header(req, "Location", location);
	http_reply_json(req, 201, hold_to_json(hold));
}

void api_hold_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_release(vm, http_param(req, "hold"), &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_empty(req, 204);
}
