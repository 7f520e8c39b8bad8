/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/ports: what listens in the guest, as it says itself. It is not trusted: only what has
 * the promised form is passed on.
 */
#include <stdlib.h>

#include "server/api/handlers.h"

enum { ANSWER_MS = 10 * 1000, PORTS_MAX = 512 };

struct question {
	struct http_request *req; /* NULL: the client has left */
};

static json_t *port_view(const json_t *one)
{
	const char *address = json_string_value(json_object_get(one, "address"));
	const char *process = json_string_value(json_object_get(one, "process"));
	json_int_t port = json_integer_value(json_object_get(one, "port"));
	json_int_t pid = json_integer_value(json_object_get(one, "pid"));
	json_t *o;

	if (!address || strlen(address) > 64 || port < 1 || port > UINT16_MAX)
		return NULL;
	o = json_pack("{s:s, s:s, s:I}", "protocol", "tcp", "address", address, "port", port);
	if (pid > 0)
		(void)json_object_set_new(o, "pid", json_integer(pid));
	if (process && *process && strlen(process) <= 64)
		(void)json_object_set_new(o, "process", json_string(process));
	return o;
}

static json_t *ports_view(const json_t *reply)
{
	json_t *items = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(reply, "ports"), i, one) {
		json_t *view = i < PORTS_MAX ? port_view(one) : NULL;

		if (view)
			(void)json_array_append_new(items, view);
	}
	return json_pack("{s:o}", "items", items);
}

static void on_gone(void *data)
{
	struct question *q = data;

	q->req = NULL;
}

static void on_answer(void *data, const json_t *reply, const struct error *err)
{
	struct question *q = data;

	if (q->req) {
		http_on_gone(q->req, NULL, NULL);
		if (reply)
			http_reply_json(q->req, 200, ports_view(reply));
		else
			http_reply_error(q->req, err, NULL);
	}
	free(q);
}

void api_port_list(struct http_request *req, void *context)
{
	struct api *api = context;
	struct question *q = NULL;
	struct vm *vm = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0 && (vm_get_state(vm) != VM_RUNNING || !vm_guest(vm)))
		r = error_set(&err, ERR_STATE, "VM '%s' is %s; its guest can't be asked",
			      vm_row(vm)->name, vm_state_name(vm_get_state(vm)));
	if (r == 0) {
		q = calloc(1, sizeof(*q));
		r = q ? 0 : error_set(&err, ERR_NO_ROOM, "no memory to ask the guest");
	}
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	*q = (struct question){ .req = req };
	http_on_gone(req, on_gone, q);
	guest_call(vm_guest(vm), "/ports", NULL, ANSWER_MS, on_answer, q);
}
