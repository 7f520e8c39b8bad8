/* SPDX-License-Identifier: Apache-2.0 */
/* Who asked for what, and which answer they got: an event of kind "request" each. */
#include <stdio.h>

#include "server/api/handlers.h"
#include "server/store/journal.h"

/* A terminal's keys and the like: what they belong to is told already. */
static const char *const left_out[] = { "exec_input", "exec_resize", "ticket_create" };

/* "web" of "/vms/web/stop"; "" where there is none. */
static void resource_of(const char *path, char *ref, size_t size)
{
	const char *second = path[0] == '/' ? strchr(path + 1, '/') : NULL;
	size_t len = second ? strcspn(second + 1, "/") : 0;

	(void)snprintf(ref, size, "%.*s", (int)(len < size ? len : size - 1),
		       second ? second + 1 : "");
}

void api_audit(void *context, const struct http_audit *audit)
{
	struct api *api = context;
	char id[ID_LEN + 1] = "";
	struct vm *vm = NULL;
	struct error none;
	bool gone = false;
	char ref[256];

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (streq(audit->operation, left_out[i]))
			return;
	resource_of(audit->path, ref, sizeof(ref));
	/* What a create has made. */
	if (!ref[0] && audit->location)
		resource_of(audit->location, ref, sizeof(ref));
	if (str_has_prefix(audit->path, "/vms"))
		vm = vms_find(api->vms, ref);
	/* What a delete has deleted. */
	if (!vm && audit->status < 400 && str_has_prefix(audit->path, "/vms/"))
		gone = events_last_named(api->store, "vm.deleted", ref, id, sizeof(id), &none) == 0;
	events_emit(api->events,
		    &(struct event){ .kind = "request",
				     .target = vm ? vm_row(vm)->id : (gone ? id : ref),
				     .target_name = vm ? vm_row(vm)->name : (gone ? ref : NULL),
				     .by = audit->by,
				     .data = json_pack("{s:s, s:s, s:s, s:i}", "request",
						       audit->operation, "method", audit->method,
						       "path", audit->path, "status",
						       (int)audit->status) });
}
