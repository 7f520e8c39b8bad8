/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `?watch=true` on a list: what there is, then what changes, in one stream without a gap between
 * the two. As NDJSON (or server-sent events) each frame is {"type": "added" | "changed", "item":
 * …},
 * {"type": "removed", "id": …}, once {"type": "synced"} when the list has been sent, and {"type":
 * "end"} as the last one when the server ends.
 *
 * A client that reads slowly misses steps in between, never the outcome: once there is room again
 * everything is compared with what was sent last.
 */
#pragma once

#include "server/api/handlers.h"

typedef void api_watch_fn(json_t *view, void *data);

struct api_watch_kind {
	const char *prefix; /* of the kinds of events that tell of it: "vm." */
	const char *gone;   /* the kind that tells of its end, or NULL */
	bool by_operation;  /* an event names it as its operation, not as its target */
	/* The view that the client is to see, or NULL: gone, or not among what was asked for. New
	 * reference. */
	json_t *(*find)(const struct http_request *req, struct api *api, const char *id);
	/* Calls `fn` with the view of each (a new reference) that was asked for. */
	void (*each)(const struct http_request *req, struct api *api, api_watch_fn *fn, void *data);
};

/* True when the client wants a stream in place of a page; then the request has been answered. */
bool api_watch(struct http_request *req, struct api *api, const struct api_watch_kind *kind);
