/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: where replies are kept, and how a request goes on whose reply was lost. */
#include "server/store/replays.h"

#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/api/handlers.h"
#include "server/store/journal.h"

static int find(void *context, const char *who, const char *key, struct http_saved *ret,
		struct error *err)
{
	struct api *api = context;
	struct replay_row row = { 0 };
	int r = replay_get(api->store, who, key, clock_wall_ms(), &row, err);

	if (r < 0)
		return r;
	ret->status = (int)row.status;
	ret->headers = row.headers;
	ret->body = row.body;
	(void)snprintf(ret->request_hash, sizeof(ret->request_hash), "%.64s", row.request_hash);
	return 0;
}

static int save(void *context, const char *who, const char *key, const struct http_saved *saved,
		struct error *err)
{
	struct api *api = context;
	struct replay_row row = {
		.status = saved->status,
		.headers = saved->headers,
		.body = saved->body,
	};

	(void)snprintf(row.request_hash, sizeof(row.request_hash), "%s", saved->request_hash);
	return replay_put(api->store, who, key, &row, clock_wall_ms(), err);
}

static void forget(void *context, const char *who, const char *key)
{
	struct api *api = context;
	struct error err;

	if (replay_delete(api->store, who, key, &err) < 0)
		log_warn("a kept reply stays: %s", err.msg);
}

/* The operation as it is now: in memory, or in the journal of what has ended. */
static void resume(void *context, struct http_request *req, const char *operation,
		   const char *location)
{
	struct api *api = context;
	struct op *op = ops_find(api->ops, operation);
	autofree char *document = NULL;
	struct error err;

	http_reply_header(req, "Banger-Operation", operation);
	if (location && *location)
		http_reply_header(req, "Location", location);
	if (op)
		http_reply_json(req, 202, api_operation_json(op));
	else if (operations_get(api->store, operation, &document, &err) < 0)
		http_reply_error(req, &err, operation);
	else
		http_reply_bytes(req, 202, "application/json", document, strlen(document));
}

const struct http_replays api_replays = {
	.find = find,
	.save = save,
	.forget = forget,
	.resume = resume,
};
