/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes wait here for what they are written to. A request that would only be refused half-way is
 * not begun: it is tried again for a moment, without anybody else being held up, and then refused
 * before its handler has seen it.
 */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "server/http/internal.h"

enum { STEP_US = 20 * 1000, PATIENCE_US = 1000 * 1000 };

struct gate_wait {
	struct http_request *req;
	struct loop_timer *timer;
	int64_t until_us;
};

static void wait_free(struct gate_wait *w)
{
	loop_timer_free(w->timer);
	free(w);
}

static void on_gone(void *data)
{
	wait_free(data);
}

static int try_again(const struct http_request *req, struct error *err)
{
	const struct http_config *c = &req->server->config;

	return c->writable(c->context, err);
}

static void on_step(void *data)
{
	struct gate_wait *w = data;
	struct http_request *req = w->req;
	struct error err = ERROR_INIT;
	int r = try_again(req, &err);

	if (r < 0 && clock_mono_us() < w->until_us) {
		loop_timer_set(w->timer, STEP_US);
		return;
	}
	wait_free(w);
	http_on_gone(req, NULL, NULL);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		intake_go_on(req);
}

bool gate_pass(struct http_request *req)
{
	struct error err = ERROR_INIT;
	struct gate_wait *w;

	if (!req->server->config.writable || req->op->method == METHOD_GET || req->op->no_store ||
	    try_again(req, &err) == 0)
		return true;
	w = calloc(1, sizeof(*w));
	if (!w || loop_timer_new(req->server->loop, on_step, w, &w->timer) < 0) {
		free(w);
		http_reply_error(req, &err, NULL);
		return false;
	}
	w->req = req;
	w->until_us = clock_mono_us() + PATIENCE_US;
	http_on_gone(req, on_gone, w);
	loop_timer_set(w->timer, STEP_US);
	return false;
}
