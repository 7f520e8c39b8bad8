/* SPDX-License-Identifier: Apache-2.0 */
/* /snapshots, /vms/{vm}/snapshots, and the verbs that copy a VM or put it back: restore, fork,
 * suspend. */
#include "server/vm/snapshot.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"

static void set_text(json_t *o, const char *name, const char *text)
{
	if (text[0])
		(void)json_object_set_new(o, name, json_string(text));
}

static json_t *snapshot_json(const struct api *api, const struct snapshot *one)
{
	json_t *o = json_object();
	json_auto_t *mismatches =
		one->memory ? made_mismatches(api->vms, &one->made) : json_array();
	char when[32];

	set_text(o, "id", one->id);
	set_text(o, "name", one->name);
	set_text(o, "vm", one->vm_id);
	set_text(o, "vm_name", one->vm_name);
	set_text(o, "parent", one->parent);
	set_text(o, "image", one->image_name);
	(void)json_object_set_new(o, "vcpus", json_integer(one->vcpus));
	(void)json_object_set_new(o, "memory_mib", json_integer(one->memory_mib));
	(void)json_object_set_new(o, "disk_mib", json_integer(one->disk_mib));
	(void)json_object_set_new(o, "memory", json_boolean(one->memory));
	(void)json_object_set_new(o, "size_bytes", json_integer(one->size_bytes));
	(void)json_object_set_new(o, "created",
				  json_string(clock_format_ms(one->created_ms, when)));
	if (json_array_size(mismatches) > 0)
		(void)json_object_set(o, "mismatches", mismatches);
	return o;
}

/* --- look --- */

static void reply_list(struct http_request *req, struct api *api, const char *vm_id)
{
	json_t *items = json_array();
	struct snapshot *one;

	for (size_t i = 0; (one = snapshots_at(api->snapshots, i)) != NULL; i++)
		if (!one->dropped && (!vm_id || streq(one->vm_id, vm_id)))
			(void)json_array_append_new(items, snapshot_json(api, one));
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}

void api_snapshot_list(struct http_request *req, void *context)
{
	reply_list(req, context, NULL);
}

void api_vm_snapshot_list(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		reply_list(req, api, vm_row(vm)->id);
}

static int find(struct api *api, const char *id, struct snapshot **ret_one, struct error *err)
{
	*ret_one = snapshots_find(api->snapshots, id);
	return *ret_one ? 0 : error_set(err, ERR_NOT_FOUND, "no snapshot '%.64s'", id);
}

void api_reply_snapshot(struct http_request *req, struct api *api, const char *id, int status)
{
	struct snapshot *one = NULL;
	char location[64];
	struct error err;

	if (find(api, id, &one, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (status == 201) {
		(void)snprintf(location, sizeof(location), "/snapshots/%s", one->id);
		http_reply_header(req, "Location", location);
	}
	http_reply_json(req, status, snapshot_json(api, one));
}

void api_snapshot_get(struct http_request *req, void *context)
{
	api_reply_snapshot(req, context, http_param(req, "snapshot"), 200);
}

void api_snapshot_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	struct error err;

	if (snapshots_delete(api->snapshots, http_param(req, "snapshot"), http_principal(req),
			     &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_empty(req, 204);
}

/* --- take --- */

static void reply_new(struct http_request *req, struct api *api, const char *op_id_text)
{
	struct op *op = ops_find(api->ops, op_id_text);
	json_auto_t *o = op ? op_to_json(op) : NULL;
	const char *id =
		json_string_value(json_object_get(json_object_get(o, "result"), "snapshot"));

	api_reply_snapshot(req, api, id ? id : "", 201);
}

void api_snapshot_create(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *body = http_body(req);
	const json_t *memory = json_object_get(body, "memory");
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = snapshots_take(vm, json_string_value(json_object_get(body, "name")),
				   !memory || json_is_true(memory), http_principal(req), &op, &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, reply_new, op_id(op), NULL);
}

/* --- verbs --- */

static void reply_vm(struct http_request *req, struct api *api, const char *id)
{
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, id, &vm, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 200, vm_to_json(vm));
}

void api_vm_restore(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *id = json_string_value(json_object_get(http_body(req), "snapshot"));
	struct snapshot *one = NULL;
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0 && find(api, id, &one, &err) < 0)
		r = error_wrap(&err, "/snapshot");
	if (r == 0)
		r = vm_restore(vm, one, http_principal(req), &op, &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, reply_vm, vm_row(vm)->id, NULL);
}

void api_vm_suspend(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_suspend(vm, http_principal(req), &op, &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, reply_vm, vm_row(vm)->id, NULL);
}

static void reply_children(struct http_request *req, struct api *api, const char *op_id_text)
{
	struct op *op = ops_find(api->ops, op_id_text);
	json_auto_t *o = op ? op_to_json(op) : NULL;
	json_t *result = json_object_get(o, "result");

	http_reply_json(req, 200, result ? json_incref(result) : json_pack("{s:[]}", "children"));
}

void api_vm_fork(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *count = json_object_get(http_body(req), "count");
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_fork(vm, count ? (uint32_t)json_integer_value(count) : 1,
			    http_principal(req), &op, &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		api_reply_when_done(req, api, op, reply_children, op_id(op), NULL);
}
