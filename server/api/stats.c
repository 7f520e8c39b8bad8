/* SPDX-License-Identifier: Apache-2.0 */
/* /vms/{vm}/stats and /stats: what VMs use of the host. */
#include "server/vm/stats.h"

#include "lib/base/clock.h"
#include "server/api/handlers.h"
#include "server/vm/forward.h"
#include "server/vm/idle.h"

/* Without `since`, the last ten minutes. */
enum { DEFAULT_MS = 600 * 1000 };

void api_vm_stats(struct http_request *req, void *context)
{
	struct api *api = context;
	int64_t since_s = api_query_number(req, "since", -1);
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	http_reply_json(
		req, 200,
		vm_stats_json(vm, since_s < 0 ? clock_wall_ms() - DEFAULT_MS : since_s * 1000));
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

	for (struct vm *vm = vms_next(api->vms, ""); vm; vm = vms_next(api->vms, vm_row(vm)->id)) {
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
