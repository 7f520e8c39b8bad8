/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for an operation: no thread, one small object each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "server/api/handlers.h"

struct waiter {
	struct http_request *req;
	struct api *api;
	struct op *op;
	void *watch;
	struct loop_timer *timer;
	api_done_fn *done;
	bool cancel; /* the operation, when the client leaves */
	char target[300];
	char location[320];
};

static void waiter_free(struct waiter *w)
{
	if (w->watch)
		op_unwatch(w->op, w->watch);
	loop_timer_free(w->timer);
	op_unref(w->op);
	free(w);
}

static void reply_accepted(struct http_request *req, struct op *op, const char *location)
{
	if (location && location[0])
		http_reply_header(req, "Location", location);
	http_reply_header(req, "Banger-Operation", op_id(op));
	http_reply_json(req, 202, api_operation_json(op));
}

static void on_time_over(void *data)
{
	struct waiter *w = data;

	http_on_gone(w->req, NULL, NULL);
	reply_accepted(w->req, w->op, w->location);
	waiter_free(w);
}

static void on_gone(void *data)
{
	struct waiter *w = data;

	if (w->cancel)
		op_cancel(w->op);
	waiter_free(w);
}

static void on_ended(struct op *op, void *data)
{
	struct waiter *w = data;

	w->watch = NULL;
	http_on_gone(w->req, NULL, NULL);
	http_reply_header(w->req, "Banger-Operation", op_id(op));
	if (op_get_state(op) == OP_SUCCEEDED) {
		if (w->location[0])
			http_reply_header(w->req, "Location", w->location);
		w->done(w->req, w->api, w->target);
	} else {
		http_reply_error(w->req, op_error(op), op_id(op));
	}
	waiter_free(w);
}

void api_reply_when_done(struct http_request *req, struct api *api, struct op *op,
			 api_done_fn *done, const char *target, const char *location)
{
	int wait_s = http_prefer_wait(req);
	struct waiter *w;

	http_note_operation(req, op_id(op), location);
	if (wait_s == 0 && !op_ended(op)) {
		reply_accepted(req, op, location);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w || loop_timer_new(api->loop, on_time_over, w, &w->timer) < 0) {
		free(w);
		reply_accepted(req, op, location);
		return;
	}
	w->req = req;
	w->api = api;
	w->op = op_ref(op);
	w->done = done;
	w->cancel = http_prefer_cancel(req);
	(void)snprintf(w->target, sizeof(w->target), "%s", target);
	(void)snprintf(w->location, sizeof(w->location), "%s", location ? location : "");
	if (op_ended(op)) {
		on_ended(op, w);
		return;
	}
	loop_timer_set(w->timer, (int64_t)wait_s * 1000000);
	http_on_gone(req, on_gone, w);
	w->watch = op_watch(op, on_ended, w);
	if (!w->watch)
		on_time_over(w);
}

/* --- requests that go on after an operation --- */

struct waking {
	struct http_request *req;
	struct api *api;
	struct op *op;
	void *watch;
	http_handler_fn *then;
};

static void waking_free(struct waking *w)
{
	if (w->watch)
		op_unwatch(w->op, w->watch);
	op_unref(w->op);
	free(w);
}

/* The operation goes on: somebody else may want what it does. */
static void waker_gone(void *data)
{
	waking_free(data);
}

static void on_awake(struct op *op, void *data)
{
	struct waking *w = data;
	struct http_request *req = w->req;
	struct api *api = w->api;
	http_handler_fn *then = w->then;

	w->watch = NULL;
	http_on_gone(req, NULL, NULL);
	if (op_get_state(op) == OP_SUCCEEDED)
		then(req, api);
	else
		http_reply_error(req, op_error(op), op_id(op));
	waking_free(w);
}

void api_go_on_after(struct http_request *req, struct api *api, struct op *op,
		     http_handler_fn *then)
{
	struct waking *w = calloc(1, sizeof(*w));
	struct error err;

	if (!w) {
		(void)error_errno(&err, -ENOMEM, "wait for operation %s", op_id(op));
		http_reply_error(req, &err, NULL);
		return;
	}
	*w = (struct waking){ .req = req, .api = api, .op = op_ref(op), .then = then };
	http_on_gone(req, waker_gone, w);
	w->watch = op_watch(op, on_awake, w);
}

bool api_image_first(struct http_request *req, struct api *api, const char *image,
		     http_handler_fn *then)
{
	struct op *op = NULL;
	struct error err;
	int r = catalog_want_image(api->catalog, image, http_principal(req), &op, &err);

	if (r < 0)
		http_reply_error(req, &err, NULL);
	else if (r > 0)
		api_go_on_after(req, api, op, then);
	return r != 0;
}

bool api_wake_first(struct http_request *req, struct api *api, struct vm *vm, http_handler_fn *then)
{
	struct error err;
	struct op *op = NULL;

	if (!vm_sleeps(vm))
		return false;
	if (vm_get_state(vm) == VM_SUSPENDED && streq(vm_row(vm)->wake, "never"))
		(void)error_set(&err, ERR_STATE,
				"VM '%s' is suspended and wakes only when it is resumed or started "
				"(wake: never)",
				vm_row(vm)->name);
	else
		(void)!vm_wake(vm, http_principal(req), &op, &err);
	if (!op)
		http_reply_error(req, &err, NULL);
	else
		api_go_on_after(req, api, op, then);
	return true;
}
