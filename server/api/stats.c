/* SPDX-License-Identifier: Apache-2.0 */
/* /vms/{vm}/stats and /stats: what VMs use of the host. */
#include "server/vm/stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "server/api/handlers.h"
#include "server/vm/forward.h"
#include "server/vm/guest_stats.h"
#include "server/vm/idle.h"

enum { DEFAULT_MS = 600 * 1000, GUEST_MS = 5 * 1000 };

int64_t api_query_since_ms(const struct http_request *req)
{
	int64_t since_s = api_query_number(req, "since", -1);

	return since_s < 0 ? clock_wall_ms() - DEFAULT_MS : since_s * 1000;
}

static json_t *stats_of(const struct http_request *req, struct vm *vm)
{
	return vm_stats_json(vm, api_query_since_ms(req));
}

/* A request that waits for its guest. */
struct asking {
	struct http_request *req; /* NULL: the client has left */
	struct api *api;
	char vm_id[ID_LEN + 1];
	int64_t asked_us;
};

static void on_client_gone(void *data)
{
	struct asking *a = data;

	a->req = NULL;
}

/* A guest that does not answer is no reason to hold back what the host knows. */
static void on_guest(void *data, const json_t *said, const struct error *err)
{
	struct asking *a = data;
	struct error gone = ERROR_INIT;
	struct vm *vm;
	json_t *o;

	if (!a->req) {
		free(a);
		return;
	}
	vm = vms_find(a->api->vms, a->vm_id);
	http_on_gone(a->req, NULL, NULL);
	if (!vm) {
		(void)error_set(&gone, ERR_NOT_FOUND, "the VM was deleted meanwhile");
		http_reply_error(a->req, &gone, NULL);
		free(a);
		return;
	}
	o = stats_of(a->req, vm);
	if (said)
		(void)json_object_set_new(o, "guest",
					  guest_stats_json(said, a->asked_us, clock_wall_us()));
	else
		(void)json_object_set_new(o, "guest_error", json_string(err->msg));
	http_reply_json(a->req, 200, o);
	free(a);
}

/* False when there is no guest that could answer. */
static bool ask_guest(struct http_request *req, struct api *api, struct vm *vm)
{
	struct guest *guest = vm_get_state(vm) == VM_RUNNING ? vm_guest(vm) : NULL;
	struct asking *a = guest ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return false;
	*a = (struct asking){ .req = req, .api = api, .asked_us = clock_wall_us() };
	(void)snprintf(a->vm_id, sizeof(a->vm_id), "%s", vm_row(vm)->id);
	http_on_gone(req, on_client_gone, a);
	guest_call(guest, "/stats", NULL, GUEST_MS, on_guest, a);
	return true;
}

void api_vm_stats(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	if (api_query_bool(req, "guest", false) && ask_guest(req, api, vm))
		return;
	http_reply_json(req, 200, stats_of(req, vm));
}

static json_t *forwards_json(struct vm *vm)
{
	json_t *list = json_array();

	for (struct vm_forward *f = vm_forward_next(vm, NULL); f; f = vm_forward_next(vm, f))
		(void)json_array_append_new(list, vm_forward_to_json(f));
	return list;
}

/* All that have a process, in one reply: what a list of VMs shows beside each. */
void api_stats_list(struct http_request *req, void *context)
{
	struct api *api = context;
	json_t *items = json_array();

	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm)) {
		char when[32];
		json_t *now;
		json_t *o;

		if (!vm_row(vm)->pid)
			continue;
		o = json_pack("{s:s, s:s, s:o}", "vm", vm_row(vm)->id, "active",
			      clock_format_ms(vm_active_ms(vm), when), "forwards",
			      forwards_json(vm));
		now = vm_stats_now_json(vm);
		if (now)
			(void)json_object_set_new(o, "now", now);
		(void)json_array_append_new(items, o);
	}
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}
