/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of the document: X(operationId). The table and the declarations are made from
 * this one list. */
#pragma once

#include "lib/base/buf.h"
#include "server/api/api.h"

#define API_OPERATIONS(X)   \
	X(vm_list)          \
	X(vm_create)        \
	X(vm_get)           \
	X(vm_delete)        \
	X(vm_start)         \
	X(vm_stop)          \
	X(vm_restart)       \
	X(vm_kill)          \
	X(vm_update)        \
	X(vm_pause)         \
	X(vm_resume)        \
	X(vm_recover)       \
	X(vm_diagnosis)     \
	X(vm_wait)          \
	X(vm_action)        \
	X(vm_prune)         \
	X(hold_list)        \
	X(hold_create)      \
	X(hold_delete)      \
	X(vm_exec)          \
	X(exec_list)        \
	X(exec_create)      \
	X(exec_get)         \
	X(exec_delete)      \
	X(exec_output)      \
	X(exec_input)       \
	X(exec_signal)      \
	X(exec_resize)      \
	X(vm_terminal)      \
	X(vm_console)       \
	X(port_list)        \
	X(tunnel_open)      \
	X(proxy_get)        \
	X(proxy_put)        \
	X(proxy_post)       \
	X(proxy_delete)     \
	X(proxy_patch)      \
	X(proxy_options)    \
	X(forward_list)     \
	X(forward_create)   \
	X(forward_delete)   \
	X(vm_logs)          \
	X(vm_stats)         \
	X(stats_list)       \
	X(file_get)         \
	X(file_put)         \
	X(file_delete)      \
	X(workspace_put)    \
	X(workspace_get)    \
	X(workspace_patch)  \
	X(vm_suspend)       \
	X(vm_restore)       \
	X(vm_fork)          \
	X(vm_snapshot_list) \
	X(snapshot_create)  \
	X(snapshot_list)    \
	X(snapshot_get)     \
	X(snapshot_delete)  \
	X(snapshot_export)  \
	X(snapshot_import)  \
	X(template_list)    \
	X(template_create)  \
	X(template_update)  \
	X(template_delete)  \
	X(catalog_list)     \
	X(image_tag)        \
	X(image_size)       \
	X(image_list)       \
	X(image_create)     \
	X(image_get)        \
	X(image_delete)     \
	X(image_verify)     \
	X(cache_prune)      \
	X(kernel_list)      \
	X(kernel_create)    \
	X(kernel_get)       \
	X(kernel_delete)    \
	X(operation_list)   \
	X(operation_get)    \
	X(operation_cancel) \
	X(event_stream)     \
	X(run_list)         \
	X(run_create)       \
	X(run_get)          \
	X(run_cancel)       \
	X(run_output)       \
	X(run_workspace)    \
	X(run_artifacts)    \
	X(token_list)       \
	X(token_create)     \
	X(token_delete)     \
	X(doctor)           \
	X(config_get)       \
	X(healthz)          \
	X(readyz)           \
	X(capabilities)     \
	X(host_get)         \
	X(host_history)     \
	X(metrics)          \
	X(version)

#define API_DECLARE(id) void api_##id(struct http_request *req, void *context);
API_OPERATIONS(API_DECLARE)
#undef API_DECLARE

/*
 * Replies when the operation has ended, or with 202 and the operation once the time of `Prefer:
 * wait` is over. `done` makes the reply of a success; `target` (copied) is what it may need to
 * know.
 */
typedef void api_done_fn(struct http_request *req, struct api *api, const char *target);
void api_reply_when_done(struct http_request *req, struct api *api, struct op *op,
			 api_done_fn *done, const char *target, const char *location);

/* Calls `then` with the request once the operation has succeeded, else answers why it has not. */
void api_go_on_after(struct http_request *req, struct api *api, struct op *op,
		     http_handler_fn *then);

/* The number of a signal that a kill may name; NULL: SIGKILL. */
int api_signal_of(const char *word);

/* Replies with the VM as it is now. */
void api_reply_vm(struct http_request *req, struct api *api, const char *id, int status);

/* Replies with the snapshot; with 201 its place as well. */
void api_reply_snapshot(struct http_request *req, struct api *api, const char *id, int status);

/*
 * True when the VM is suspended: it is woken, and `then` is called with the request again once it
 * runs (or the request is answered with why it does not). False: go on.
 */
bool api_wake_first(struct http_request *req, struct api *api, struct vm *vm,
		    http_handler_fn *then);

/*
 * The VM of the path, for work in its guest: 1 when it is woken first (as api_wake_first()), 0, or
 * an error when there is none or nothing can be done in it now.
 */
int api_working_vm(struct http_request *req, struct api *api, http_handler_fn *again,
		   struct vm **ret_vm, struct error *err) MUST_USE;

/*
 * True when the image is not here and is brought first; `then` is called with the request again
 * once it is (or the request is answered with why it is not). False: go on.
 */
bool api_image_first(struct http_request *req, struct api *api, const char *image,
		     http_handler_fn *then);

/* The API's view of an operation, its error included; new reference. */
json_t *api_operation_json(struct op *op);

/* Whether something with these labels is among what `?label=` and `?label_prefix=` ask for. */
bool api_labels_match(const struct http_request *req, const json_t *labels);

/* The exec that the path names. */
struct vm_exec;
int api_find_exec(struct http_request *req, struct api *api, struct vm_exec **ret_exec,
		  struct error *err) MUST_USE;

/* Replies with a list; `items` is stolen, `next` names the next page or is NULL. */
void api_reply_page(struct http_request *req, json_t *items, const char *next);

/*
 * The same for a list that may be long, item by item: only the text is held, and it is kept for
 * the next who asks the same. Begin with api_page_begin(), end with api_page_reply().
 */
struct api_page {
	struct http_request *req;
	struct buf text;
	size_t n;
	bool failed;
};
void api_page_begin(struct api_page *page, struct http_request *req);
/* Steals `item`. */
void api_page_add(struct api_page *page, json_t *item);
/* `version` says when the page will be another one; with `keep` false it is not kept. */
void api_page_reply(struct api_page *page, struct api *api, const char *next, bool keep,
		    uint64_t version);
/* Replies with a page that was kept, if there is one of this version. */
bool api_page_again(struct http_request *req, struct api *api, uint64_t version);
/* The same for one resource. */
bool api_view_again(struct http_request *req, struct api *api, uint64_t version);
/* Replies with it and keeps it if `keep`. Steals `view`. */
void api_view_reply(struct http_request *req, struct api *api, json_t *view, bool keep,
		    uint64_t version);

/*
 * The query's `target`: of a VM's id or name the id, also of the last one of that name that was
 * deleted; else as it stands. NULL when there is none. Good until the next call.
 */
const char *api_query_target(const struct http_request *req, struct api *api);

/* `?since=` as wall clock time, or INT64_MIN without one. */
int64_t api_query_since(const struct http_request *req);
/* Whether a view whose `name` field is a time is at `?since=` or later. */
bool api_since_match(const struct http_request *req, const json_t *view, const char *name);

/* Query parameter as a number that the document has already checked. */
long api_query_number(const struct http_request *req, const char *name, long otherwise);
/* The same as a truth value: "true" and "1", or "false" and "0". */
bool api_query_bool(const struct http_request *req, const char *name, bool otherwise);
/* The query's `since`, which is in seconds, as wall clock milliseconds; without it ten minutes ago.
 */
int64_t api_query_since_ms(const struct http_request *req);
