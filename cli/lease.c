/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lease.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

/* A renewal that gets no answer is given up: the next one may. */
enum { ANSWER_S = 5 };

struct lease {
	struct client *client;
	char *path;
	int64_t end_us;
	int renew_ms;
	pthread_t thread;
	pthread_mutex_t lock; /* of `over`; held across nothing but the wait */
	pthread_cond_t changed;
	bool over;
};

/* False when nothing is left to move: the VM's own end is near, or it is gone. */
static bool renew(const struct lease *lease)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	struct error ignored = ERROR_INIT;
	json_auto_t *body = NULL;
	struct client_request request = { .method = "PATCH",
					  .path = lease->path,
					  .timeout_s = ANSWER_S };
	int64_t ttl_s = LEASE_S;

	if (lease->end_us) {
		int64_t left_s = (lease->end_us - clock_mono_us()) / 1000000;

		if (left_s < 1)
			return false;
		ttl_s = left_s < ttl_s ? left_s : ttl_s;
	}
	body = json_pack("{s:I}", "ttl_s", (json_int_t)ttl_s);
	request.body = body;
	/* A server that is away for a moment is back before the lease has ended. */
	if (!body || client_do(lease->client, &request, &reply, &ignored) < 0)
		return true;
	return reply.status != 404;
}

static void *keep(void *data)
{
	struct lease *lease = data;
	struct timespec next;
	bool go_on = true;

	(void)pthread_mutex_lock(&lease->lock);
	while (go_on && !lease->over) {
		int64_t at_ns;

		(void)clock_gettime(CLOCK_MONOTONIC, &next);
		at_ns = next.tv_nsec + (int64_t)lease->renew_ms * 1000000;
		next.tv_sec += at_ns / 1000000000;
		next.tv_nsec = at_ns % 1000000000;
		while (!lease->over &&
		       pthread_cond_timedwait(&lease->changed, &lease->lock, &next) != ETIMEDOUT)
			continue;
		if (lease->over)
			break;
		(void)pthread_mutex_unlock(&lease->lock);
		go_on = renew(lease);
		(void)pthread_mutex_lock(&lease->lock);
	}
	(void)pthread_mutex_unlock(&lease->lock);
	return NULL;
}

static void lease_free(struct lease *lease)
{
	client_free(lease->client);
	(void)pthread_mutex_destroy(&lease->lock);
	(void)pthread_cond_destroy(&lease->changed);
	free(lease->path);
	free(lease);
}

int lease_begin(const struct client *client, const char *path, int64_t end_us, int renew_ms,
		struct lease **ret_lease, struct error *err)
{
	struct lease *lease = calloc(1, sizeof(*lease));
	pthread_condattr_t attr;
	int r;

	if (!lease)
		return error_errno(err, -ENOMEM, "lease");
	lease->end_us = end_us;
	lease->renew_ms = renew_ms;
	(void)pthread_mutex_init(&lease->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&lease->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	lease->path = strdup(path);
	r = lease->path ? client_new_quiet(client, &lease->client, err)
			: error_errno(err, -ENOMEM, "lease");
	if (r == 0) {
		r = -pthread_create(&lease->thread, NULL, keep, lease);
		if (r < 0)
			(void)error_errno(err, r, "lease");
	}
	if (r < 0) {
		lease_free(lease);
		return r;
	}
	*ret_lease = lease;
	return 0;
}

void lease_end(struct lease *lease)
{
	if (!lease)
		return;
	(void)pthread_mutex_lock(&lease->lock);
	lease->over = true;
	(void)pthread_cond_signal(&lease->changed);
	(void)pthread_mutex_unlock(&lease->lock);
	(void)pthread_join(lease->thread, NULL);
	lease_free(lease);
}
