/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "server/registry/transfer.h"

/* How often those that wait for their next try are looked at. */
enum { TICK_MS = 100 };

struct batch {
	struct transfer *transfers;
	size_t n;
	CURLM *multi;
};

static void batch_done(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		transfer_done(&batch->transfers[i], batch->multi);
	free(batch->transfers);
	if (batch->multi)
		(void)curl_multi_cleanup(batch->multi);
}

/* Begins what may begin. 1 while there is something to wait for. */
static int begin_some(struct batch *b, unsigned int parallel, struct error *err)
{
	unsigned int running = 0;
	int left = 0;

	for (size_t i = 0; i < b->n; i++)
		running += b->transfers[i].state == TRANSFER_RUNNING;
	for (size_t i = 0; i < b->n; i++) {
		struct transfer *t = &b->transfers[i];
		int r;

		left |= t->state != TRANSFER_DONE;
		if (running >= parallel || t->state == TRANSFER_RUNNING ||
		    t->state == TRANSFER_DONE ||
		    (t->state == TRANSFER_WAITING && clock_mono_us() < t->wake_us))
			continue;
		r = transfer_begin(t, b->multi, err);
		if (r < 0)
			return r;
		running++;
	}
	return left;
}

/* 1 when some have ended, which others may have waited for. */
static int take_ended(struct batch *b, struct error *err)
{
	const CURLMsg *msg;
	int left, some = 0;

	while ((msg = curl_multi_info_read(b->multi, &left)) != NULL) {
		CURLcode code = msg->data.result;
		char *private = NULL;
		struct transfer *t;
		CURL *easy = msg->easy_handle;
		int r;

		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		t = (struct transfer *)(void *)private;
		(void)curl_multi_remove_handle(b->multi, easy);
		t->state = TRANSFER_NEW;
		t->err = err;
		r = transfer_ended(t, b->multi, code, err);
		if (r < 0)
			return r;
		some = 1;
	}
	return some;
}

static int run_batch(struct registry *registry, struct batch *b, struct error *err)
{
	unsigned int parallel = registry->settings.parallel;

	if (parallel > FETCH_PARALLEL_MAX)
		parallel = FETCH_PARALLEL_MAX;
	for (;;) {
		struct curl_waitfd cancel = { .fd = op_cancel_fd(registry->op),
					      .events = CURL_WAIT_POLLIN };
		int running, r = op_check(registry->op, err);

		if (r == 0)
			r = begin_some(b, parallel, err);
		if (r <= 0)
			return r;
		if (curl_multi_perform(b->multi, &running) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl can't go on");
		r = take_ended(b, err);
		if (r < 0)
			return r;
		/* To wait now would be for nothing where all have ended. */
		if (r == 0 && curl_multi_poll(b->multi, &cancel, 1, TICK_MS, NULL) != CURLM_OK)
			return error_set(err, ERR_INTERNAL, "libcurl can't wait");
	}
}

int fetch_all(struct registry *registry, struct fetch *fetches, size_t n, struct error *err)
{
	struct batch b CLEANUP(batch_done) = { .n = 0 };

	if (n == 0)
		return 0;
	b.transfers = calloc(n, sizeof(*b.transfers));
	b.multi = curl_multi_init();
	if (!b.transfers || !b.multi)
		return error_errno(err, -ENOMEM, "ask %s", registry->ref.host);
	b.n = n;
	for (size_t i = 0; i < n; i++) {
		b.transfers[i].registry = registry;
		b.transfers[i].fetch = &fetches[i];
		b.transfers[i].err = err;
	}
	return run_batch(registry, &b, err);
}
