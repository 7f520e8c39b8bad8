/* SPDX-License-Identifier: Apache-2.0 */
/* GET /vms/{vm}/wait: answers when the VM is in a wanted state. */
#include <stdio.h>
#include <stdlib.h>

#include "server/api/handlers.h"

struct vm_wait {
	struct http_request *req;
	struct api *api;
	struct events_listener *listener;
	struct loop_timer *timer;
	unsigned int wanted; /* bits of enum vm_state */
	char id[ID_LEN + 1];
};

static void wait_free(struct vm_wait *w)
{
	events_unlisten(w->listener);
	loop_timer_free(w->timer);
	free(w);
}

static void on_gone(void *data)
{
	wait_free(data);
}

/* True when the request has been answered. */
static bool answer(struct vm_wait *w)
{
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(w->api->vms, w->id, &vm, &err) < 0)
		http_reply_error(w->req, &err, NULL);
	else if (w->wanted & (1U << vm_get_state(vm)))
		http_reply_json(w->req, 200, vm_to_json(vm));
	else
		return false;
	return true;
}

static void on_event(void *data, int64_t seq, const struct event *event, const char *document)
{
	struct vm_wait *w = data;

	(void)seq;
	(void)document;
	if ((!streq(event->kind, "vm.state") && !streq(event->kind, "vm.deleted")) ||
	    !streq(event->target, w->id))
		return;
	if (answer(w)) {
		http_on_gone(w->req, NULL, NULL);
		wait_free(w);
	}
}

static void on_time_over(void *data)
{
	struct vm_wait *w = data;
	struct vm *vm = vms_find(w->api->vms, w->id);
	struct error err;

	(void)error_set(&err, ERR_TIMEOUT, "VM '%s' is %s still", vm ? vm_row(vm)->name : w->id,
			vm ? vm_state_name(vm_get_state(vm)) : "gone, not waiting");
	http_on_gone(w->req, NULL, NULL);
	http_reply_error(w->req, &err, NULL);
	wait_free(w);
}

/* What a client waits for that names no state: everything that is not on its way somewhere. */
static unsigned int wanted_states(const struct http_request *req)
{
	unsigned int transient = 1U << VM_STARTING | 1U << VM_STOPPING | 1U << VM_DELETING;
	unsigned int wanted = 0;
	const char *name;
	size_t at = 0;

	while ((name = http_query_next(req, "state", &at)) != NULL)
		for (unsigned int s = 0; s < VM_STATE_MAX_; s++)
			if (streq(vm_state_name((enum vm_state)s), name))
				wanted |= 1U << s;
	return wanted ? wanted : ((1U << VM_STATE_MAX_) - 1) & ~transient;
}

void api_vm_wait(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm_wait *w = calloc(1, sizeof(*w));
	struct vm *vm = NULL;
	struct error err;
	int r = w ? vms_get(api->vms, http_param(req, "vm"), &vm, &err)
		  : error_set(&err, ERR_NO_ROOM, "no memory to wait");

	if (r < 0) {
		free(w);
		http_reply_error(req, &err, NULL);
		return;
	}
	*w = (struct vm_wait){ .req = req, .api = api, .wanted = wanted_states(req) };
	(void)snprintf(w->id, sizeof(w->id), "%s", vm_row(vm)->id);
	if (answer(w)) {
		wait_free(w);
		return;
	}
	w->listener = events_listen(api->events, on_event, w);
	if (!w->listener || loop_timer_new(api->loop, on_time_over, w, &w->timer) < 0) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory to wait");
		http_reply_error(req, &err, NULL);
		wait_free(w);
		return;
	}
	http_on_gone(req, on_gone, w);
	loop_timer_set(w->timer, api_query_number(req, "timeout_s", 60) * 1000000);
}
