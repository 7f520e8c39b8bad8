/* SPDX-License-Identifier: Apache-2.0 */
/* POST /vms: a new VM, or the one of that name. */
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/vm/snapshot.h"

struct create_body {
	const char *name;
	const char *if_exists;
	const char *image;
	const char *kernel;
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t disk_mib;
	const json_t *labels;
	const char *network;
	bool nat;
	bool isolated;
	uint32_t ttl_s;
	uint32_t idle_stop_s;
	uint32_t idle_suspend_s;
	const char *wake;
	const char *init;
	bool start;
	const char *boot;
	const char *from_snapshot;
	bool restore_memory;
};

#define FIELD(kind, member)                                                             \
	{                                                                               \
#member, JSON_FIELD_##kind, offsetof(struct create_body, member), false \
	}
static const struct json_field create_fields[] = {
	FIELD(STRING, name),
	FIELD(STRING, if_exists),
	FIELD(STRING, image),
	FIELD(STRING, kernel),
	FIELD(U32, vcpus),
	FIELD(U32, memory_mib),
	FIELD(U32, disk_mib),
	FIELD(VALUE, labels),
	FIELD(STRING, network),
	FIELD(BOOL, nat),
	FIELD(U32, ttl_s),
	FIELD(STRING, init),
	FIELD(BOOL, start),
	FIELD(STRING, boot),
	FIELD(STRING, from_snapshot),
	FIELD(BOOL, restore_memory),
	FIELD(U32, idle_stop_s),
	FIELD(U32, idle_suspend_s),
	FIELD(STRING, wake),
	FIELD(BOOL, isolated),
};
#undef FIELD

static void created(struct http_request *req, struct api *api, const char *id)
{
	api_reply_vm(req, api, id, 201);
}

/* True when an earlier try of this request has made the VM already: the reply is what came of it.
 */
static bool repeated(struct http_request *req, struct api *api)
{
	struct vm *vm = vms_find(api->vms, http_new_id(req));
	json_auto_t *view = vm ? vm_to_json(vm) : NULL;
	const char *op_id = json_string_value(json_object_get(view, "operation"));
	struct op *op = op_id ? ops_find(api->ops, op_id) : NULL;
	char location[64];

	if (!vm)
		return false;
	http_mark_replayed(req);
	(void)snprintf(location, sizeof(location), "/vms/%s", vm_row(vm)->id);
	if (op) {
		api_reply_when_done(req, api, op, created, vm_row(vm)->id, location);
		return true;
	}
	http_reply_header(req, "Location", location);
	http_reply_json(req, 201, TAKE_PTR(view));
	return true;
}

/* What a snapshot decides can't be asked for otherwise. */
static int use_snapshot(struct api *api, const struct create_body *b, struct vm_spec *spec,
			struct error *err)
{
	spec->source = snapshots_find(api->snapshots, b->from_snapshot);
	if (!spec->source)
		return error_set(err, ERR_NOT_FOUND, "/from_snapshot: no snapshot '%.64s'",
				 b->from_snapshot);
	if (b->image || b->kernel || b->vcpus || b->memory_mib || b->disk_mib || b->network ||
	    b->init || b->boot)
		return error_set(err, ERR_INVALID,
				 "/from_snapshot: image, kernel, vcpus, memory_mib, disk_mib, "
				 "network, init and boot come "
				 "from the snapshot; leave them out");
	return 0;
}

static void as_it_is(struct http_request *req, struct api *api, const char *id)
{
	api_reply_vm(req, api, id, 200);
}

/*
 * True when the name is taken and the request says what to do then. The VM that is there is replied
 * with as it is, once it is not on its way somewhere; or it is deleted, and the request begins
 * anew.
 */
static bool use_existing(struct http_request *req, struct api *api, const struct create_body *b)
{
	bool replace = b->if_exists && streq(b->if_exists, "replace");
	struct vm *vm = b->name && b->if_exists ? vms_find(api->vms, b->name) : NULL;
	struct error err = ERROR_INIT;
	struct op *op = NULL;
	char location[64];

	if (!vm || !streq(vm_row(vm)->name, b->name) || streq(b->if_exists, "error"))
		return false;
	if (replace) {
		if (vm_delete(vm, http_principal(req), &op, &err) < 0)
			http_reply_error(req, &err, NULL);
		else
			api_go_on_after(req, api, op, api_vm_create);
		return true;
	}
	(void)snprintf(location, sizeof(location), "/vms/%s", vm_row(vm)->id);
	op = vm_has_operation(vm) ? vm_last_operation(vm) : NULL;
	if (op) {
		api_reply_when_done(req, api, op, as_it_is, vm_row(vm)->id, location);
		return true;
	}
	http_reply_header(req, "Location", location);
	http_reply_json(req, 200, vm_to_json(vm));
	return true;
}

void api_vm_create(struct http_request *req, void *context)
{
	struct api *api = context;
	struct create_body b = {
		.nat = true, .isolated = true, .start = true, .restore_memory = true
	};
	struct vm_spec spec;
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	char location[64];
	int r = json_decode(http_body(req), create_fields, ARRAY_SIZE(create_fields), &b, &err);

	if (repeated(req, api) || (r == 0 && use_existing(req, api, &b)))
		return;
	if (r == 0 && b.image && api_image_first(req, api, b.image, api_vm_create))
		return;
	spec = (struct vm_spec){ .name = b.name,
				 .image = b.image,
				 .kernel = b.kernel,
				 .vcpus = b.vcpus,
				 .memory_mib = b.memory_mib,
				 .disk_mib = b.disk_mib,
				 .labels = b.labels,
				 .network = b.network,
				 .nat = b.nat,
				 .open = !b.isolated,
				 .ttl_s = b.ttl_s,
				 .idle_stop_s = b.idle_stop_s,
				 .idle_suspend_s = b.idle_suspend_s,
				 .wake = b.wake,
				 .init = b.init,
				 .start = b.start,
				 .boot = b.boot,
				 .disk_only = !b.restore_memory };
	if (r == 0 && b.from_snapshot)
		r = use_snapshot(api, &b, &spec, &err);
	if (r == 0)
		spec.id = http_adopt_id(req, vm_ready_id(api->vms, &spec));
	if (r == 0)
		r = vm_create(api->vms, &spec, http_principal(req), &vm, &op, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	(void)snprintf(location, sizeof(location), "/vms/%s", vm_row(vm)->id);
	if (op) {
		api_reply_when_done(req, api, op, created, vm_row(vm)->id, location);
		return;
	}
	http_reply_header(req, "Location", location);
	http_reply_json(req, 201, vm_to_json(vm));
}
