/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/workspace: a tree with what it was made of on record. The client's body waits until it
 * is clear what is at the path already; from the first change in the guest to the last nothing is
 * on record, so that what is recorded was put there in full.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/workspace.h"
#include "server/store/workspaces.h"
#include "server/vm/idle.h"

enum existing { EXISTING_REFUSE, EXISTING_REPLACE, EXISTING_KEEP };

struct prepare {
	struct http_request *req;
	struct api *api;
	char vm_id[ID_LEN + 1];
	struct guest_stream *guest; /* the step under way; NULL between two */
	enum existing existing;
	char *path;
	json_t *record;
	uint64_t bytes;
	bool unpacking;
	bool whole; /* the client has sent all */
};

static void prepare_free(struct prepare *p)
{
	vm_busy(p->api->vms, p->vm_id, -1);
	json_decref(p->record);
	free(p->path);
	free(p);
}

static void refuse(struct prepare *p, const struct error *err)
{
	http_reply_error(p->req, err, NULL);
	prepare_free(p);
}

/* --- what the client said of it --- */

static json_t *record_new(const struct http_request *req, const char *path)
{
	static const char *const given[] = { "source", "host", "head",
					     "branch", "mode", "fingerprint" };
	json_t *o = json_pack("{s:s, s:s}", "path", path, "by", http_principal(req));

	for (size_t i = 0; o && i < ARRAY_SIZE(given); i++) {
		const char *value = http_query(req, given[i]);

		if (value)
			(void)json_object_set_new(o, given[i], json_string(value));
	}
	return o;
}

static enum existing existing_of(const struct http_request *req)
{
	const char *word = http_query(req, "if_exists");

	if (!word || streq(word, "refuse"))
		return EXISTING_REFUSE;
	return streq(word, "replace") ? EXISTING_REPLACE : EXISTING_KEEP;
}

const char *api_workspace_path(const struct http_request *req)
{
	const char *path = http_query(req, "path");

	return path ? path : API_WORKSPACE_PATH;
}

/* --- the end --- */

static int keep_record(struct prepare *p, struct error *err)
{
	autofree char *text = NULL;
	char when[32];

	(void)json_object_set_new(p->record, "bytes", json_integer((json_int_t)p->bytes));
	(void)json_object_set_new(p->record, "prepared",
				  json_string(clock_format_ms(clock_wall_ms(), when)));
	text = json_text(p->record);
	if (!text)
		return error_errno(err, -ENOMEM, "workspace");
	return workspaces_put(p->api->store, p->vm_id, text, err);
}

static void on_unpacked(void *data, const struct error *err)
{
	struct prepare *p = data;
	struct error why = *err;

	p->guest = NULL;
	if (why.code == ERR_NONE && keep_record(p, &why) == 0) {
		http_reply_json(p->req, 201, json_incref(p->record));
		prepare_free(p);
		return;
	}
	(void)error_wrap(&why, "put the workspace at %.200s", p->path);
	refuse(p, &why);
}

/* --- the steps in the guest --- */

static void on_writable(void *data)
{
	struct prepare *p = data;

	http_upload_resume(p->req);
}

static int the_guest(const struct prepare *p, struct guest **ret_guest, struct error *err)
{
	struct vm *vm = NULL;
	int r = vms_get(p->api->vms, p->vm_id, &vm, err);

	if (r < 0)
		return r;
	*ret_guest = vm_guest(vm);
	return *ret_guest ? 0 : error_set(err, ERR_GUEST, "the VM has ended");
}

static int unpack(struct prepare *p, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .writable = on_writable,
								 .end = on_unpacked };
	struct guest *guest = NULL;
	int r = the_guest(p, &guest, err);

	if (r == 0)
		r = workspaces_delete(p->api->store, p->vm_id, err);
	if (r == 0)
		r = guest_tar_put(guest, p->path, &callbacks, p, &p->guest, err);
	if (r < 0)
		return r;
	p->unpacking = true;
	if (p->whole)
		guest_stream_finish(p->guest);
	else
		http_upload_resume(p->req);
	return 0;
}

static void on_removed(void *data, const struct error *err)
{
	struct prepare *p = data;
	struct error why = *err;

	p->guest = NULL;
	if (why.code != ERR_NONE || unpack(p, &why) < 0)
		refuse(p, &why);
}

static int remove_first(struct prepare *p, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .end = on_removed };
	struct guest *guest = NULL;
	int r = the_guest(p, &guest, err);

	if (r == 0)
		r = workspaces_delete(p->api->store, p->vm_id, err);
	return r < 0 ? r
		     : guest_file_delete(guest, p->path, true, &GUEST_NO_CONDITION, &callbacks, p,
					 &p->guest, err);
}

static void on_looked(void *data, const struct error *err)
{
	struct prepare *p = data;
	struct error why = *err;
	int r;

	p->guest = NULL;
	if (why.code == ERR_NOT_FOUND || (why.code == ERR_NONE && p->existing == EXISTING_KEEP)) {
		why = ERROR_INIT;
		r = unpack(p, &why);
	} else if (why.code != ERR_NONE) {
		r = error_to_errno(&why);
	} else if (p->existing == EXISTING_REPLACE) {
		r = remove_first(p, &why);
	} else {
		r = error_set(&why, ERR_EXISTS,
			      "%.300s is there already in the guest; send if_exists=replace to "
			      "remove it first, or if_exists=keep to unpack over it",
			      p->path);
	}
	if (r < 0)
		refuse(p, &why);
}

static int look(struct prepare *p, struct vm *vm, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .end = on_looked };

	return guest_file_head(vm_guest(vm), p->path, false, &callbacks, p, &p->guest, err);
}

/* --- the upload --- */

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct prepare *p = data;
	size_t n = p->unpacking && p->guest ? guest_stream_write(p->guest, bytes, len) : 0;

	p->bytes += n;
	return n;
}

static void on_upload_end(void *data)
{
	struct prepare *p = data;

	p->whole = true;
	if (p->unpacking && p->guest)
		guest_stream_finish(p->guest);
}

static void on_client_gone(void *data)
{
	struct prepare *p = data;

	if (p->guest)
		guest_stream_abort(p->guest);
	prepare_free(p);
}

static struct prepare *prepare_new(struct http_request *req, struct api *api, struct vm *vm)
{
	struct prepare *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->req = req;
	p->api = api;
	p->existing = existing_of(req);
	p->path = strdup(api_workspace_path(req));
	p->record = p->path ? record_new(req, p->path) : NULL;
	(void)snprintf(p->vm_id, sizeof(p->vm_id), "%s", vm_row(vm)->id);
	vm_busy(api->vms, p->vm_id, 1);
	if (p->record)
		return p;
	prepare_free(p);
	return NULL;
}

void api_workspace_put(struct http_request *req, void *context)
{
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_client_gone };
	struct api *api = context;
	struct prepare *p = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_workspace_put, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		p = prepare_new(req, api, vm);
		r = p ? look(p, vm, &err) : error_errno(&err, -ENOMEM, "workspace");
	}
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		if (p)
			prepare_free(p);
		return;
	}
	http_upload_begin(req, &upload, p);
}

/* --- what is on record --- */

int api_workspace_record(struct api *api, const struct vm *vm, json_t **ret_record,
			 struct error *err)
{
	autofree char *text = NULL;
	int r = workspaces_get(api->store, vm_row(vm)->id, &text, err);

	if (r == 0)
		*ret_record = text ? json_parse(text, strlen(text), err) : NULL;
	return r == 0 && text && !*ret_record ? error_to_errno(err) : r;
}

void api_workspace_get(struct http_request *req, void *context)
{
	struct api *api = context;
	json_t *record = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = api_workspace_record(api, vm, &record, &err);
	if (r == 0 && !record)
		r = error_set(&err, ERR_NOT_FOUND,
			      "VM '%s' has no workspace; put one there with POST "
			      "/vms/%s/workspace, or banger workspace prepare",
			      vm_row(vm)->name, vm_row(vm)->name);
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, 200, record);
}
