/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resources of the API: one file each, a request in, a reply out. What the work is stands in
 * the layers below; what a request must look like stands in the OpenAPI document and has been
 * checked before a handler runs.
 */
#pragma once

#include "lib/home/home.h"
#include "server/catalog/catalog.h"
#include "server/events/events.h"
#include "server/http/http.h"
#include "server/ops/op.h"
#include "server/vm/vm.h"

struct tokens;
struct config;
struct templates;
struct snapshots;
struct runs;

/* A page of a list, or one resource, as text: good for the same target while nothing has changed.
 */
struct kept_page {
	char *target; /* NULL: none here */
	char *link;   /* NULL on the last page */
	struct http_text *text;
	uint64_t version;
};

enum { API_KEPT_PAGES = 4, API_KEPT_VIEWS = 64 };

/* What handlers work on: their `context`. All borrowed for the life of the server. */
struct api {
	struct loop *loop;
	struct ops *ops;
	struct store *store;
	struct events *events;
	struct catalog *catalog;
	struct vms *vms;
	struct templates *templates;
	struct snapshots *snapshots;
	struct runs *runs;
	struct tokens *tokens;
	const struct home *home;
	const char *db_path;
	const char *default_network;
	const char *default_network_from; /* "builtin", or why it is not the usual one */
	const struct config *config;
	int dns_error; /* 0, or the negative errno of the DNS's start */
	const char *config_path;
	const struct http_server *http;
	const struct vmm_driver *driver; /* for new starts; NULL: none usable */
	const struct vmm_probe *probe;   /* of it */
	char no_limits[256]; /* why VMs that the server starts itself have none; "": they have */
	const char *vmm_why; /* it was chosen, or none was */
	char gone_id[ID_LEN + 1];     /* api_query_target()'s */
	unsigned int operations_kept; /* since the start */
	struct kept_page pages[API_KEPT_PAGES];
	unsigned int next_page;                 /* the place that the next one takes */
	struct kept_page views[API_KEPT_VIEWS]; /* each in the place that its target's hash gives */
};

/* Lets go of the pages that are kept. */
void api_pages_done(struct api *api);

/* The table of all operations, for http_server_new(). */
extern const struct http_handler api_handlers[];
extern const size_t api_n_handlers;

/* For http_config.check_token; `context` is the struct api. */
enum http_scope api_check_token(void *context, const char *token, char *principal, size_t size);
extern const struct http_replays api_replays;
/* For http_config.writable. */
int api_writable(void *context, struct error *err);
/* For http_config.audit. */
void api_audit(void *context, const struct http_audit *audit);
/* For http_config.issue_session and revoke_session: a session is a token named "dashboard-<id>". */
int api_issue_session(void *context, enum http_scope scope, int life_s, char *token, size_t size,
		      struct error *err);
void api_revoke_session(void *context, const char *token);
