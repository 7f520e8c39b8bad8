/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/handlers.h"

#include <stdlib.h>

#include "server/store/journal.h"

#define API_ROW(id) { #id, api_##id },
const struct http_handler api_handlers[] = { API_OPERATIONS(API_ROW) };
#undef API_ROW
const size_t api_n_handlers = ARRAY_SIZE(api_handlers);

long api_query_number(const struct http_request *req, const char *name, long otherwise)
{
	const char *text = http_query(req, name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

bool api_query_bool(const struct http_request *req, const char *name, bool otherwise)
{
	const char *text = http_query(req, name);

	return text ? streq(text, "true") || streq(text, "1") : otherwise;
}

const char *api_query_target(const struct http_request *req, struct api *api)
{
	const char *target = http_query(req, "target");
	const struct vm *vm = target ? vms_find(api->vms, target) : NULL;
	struct error none;

	if (vm)
		return vm_row(vm)->id;
	/* One that is gone is found by the name that it had. */
	if (target && strlen(target) < sizeof(((struct vm_row *)0)->name) && !id_valid(target) &&
	    events_last_named(api->store, "vm.deleted", target, api->gone_id, sizeof(api->gone_id),
			      &none) == 0)
		return api->gone_id;
	return target;
}
