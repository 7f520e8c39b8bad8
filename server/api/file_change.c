/* SPDX-License-Identifier: Apache-2.0 */
/* PUT and DELETE of /vms/{vm}/files/{path}. A slow guest holds back the client. */
#include <errno.h>
#include <stdlib.h>

#include "server/api/file_transfer.h"

/* --- into the guest --- */

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct file_transfer *t = data;

	/* After an early refusal the rest of the body is dropped. */
	return t->guest ? guest_stream_write(t->guest, bytes, len) : len;
}

static void on_upload_end(void *data)
{
	struct file_transfer *t = data;

	if (t->guest)
		guest_stream_finish(t->guest);
}

static void on_writable(void *data)
{
	struct file_transfer *t = data;

	http_upload_resume(t->req);
}

static void on_put_end(void *data, const struct error *err)
{
	struct file_transfer *t = data;

	t->guest = NULL;
	if (err->code != ERR_NONE) {
		http_reply_error(t->req, err, NULL);
	} else {
		file_tell_etag(t, &t->info);
		http_reply_empty(t->req, 204);
	}
	file_transfer_free(t);
}

/* A tree has no version, so nothing can be bound to it. The strings are the transfer's. */
static int read_condition(struct file_transfer *t, struct guest_condition *ret, struct error *err)
{
	int r = http_etag_list(t->req, "If-Match", &t->if_match, err);

	if (r == 0)
		r = http_etag_list(t->req, "If-None-Match", &t->if_none_match, err);
	if (r == 0 && t->tar && (t->if_match || t->if_none_match))
		r = error_set(err, ERR_INVALID,
			      "If-Match and If-None-Match: a tree has no version; they are for "
			      "single files");
	if (r == 0)
		*ret = (struct guest_condition){ t->if_match, t->if_none_match };
	return r;
}

static struct guest_put_options put_options(const struct http_request *req)
{
	struct guest_put_options o = GUEST_PUT_OPTIONS_INIT;
	const char *mode = http_query(req, "mode");

	o.offset = api_query_number(req, "offset", -1);
	o.uid = api_query_number(req, "uid", -1);
	o.gid = api_query_number(req, "gid", -1);
	o.parents = api_query_bool(req, "parents", false);
	if (mode)
		o.mode = (int32_t)strtol(mode, NULL, 8);
	return o;
}

void api_file_put(struct http_request *req, void *context)
{
	static const struct guest_stream_callbacks callbacks = { .ready = file_note_info,
								 .writable = on_writable,
								 .end = on_put_end };
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = file_client_gone };
	struct api *api = context;
	struct guest_put_options options = put_options(req);
	struct file_transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_put, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = file_transfer_new(req);
		r = t ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0)
		r = read_condition(t, &options.condition, &err);
	if (r == 0)
		r = t->tar ? guest_tar_put(vm_guest(vm), t->path, &callbacks, t, &t->guest, &err)
			   : guest_file_put(vm_guest(vm), t->path, &options, &callbacks, t,
					    &t->guest, &err);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		if (t)
			file_transfer_free(t);
		return;
	}
	http_upload_begin(req, &upload, t);
}

/* --- away --- */

static void on_delete_end(void *data, const struct error *err)
{
	struct file_transfer *t = data;

	t->guest = NULL;
	http_on_gone(t->req, NULL, NULL);
	if (err->code != ERR_NONE)
		http_reply_error(t->req, err, NULL);
	else
		http_reply_empty(t->req, 204);
	file_transfer_free(t);
}

void api_file_delete(struct http_request *req, void *context)
{
	static const struct guest_stream_callbacks callbacks = { .end = on_delete_end };
	struct api *api = context;
	struct guest_condition condition;
	struct file_transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_delete, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = file_transfer_new(req);
		r = t ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	/* Nothing of it goes when it is asked for by mistake. */
	if (r == 0 && strspn(t->path, "/.") == strlen(t->path))
		r = error_set(&err, ERR_INVALID,
			      "path: the guest's root folder can't be deleted; name what is in it");
	if (r == 0)
		r = read_condition(t, &condition, &err);
	if (r == 0) {
		http_on_gone(req, file_client_gone, t);
		r = guest_file_delete(vm_guest(vm), t->path,
				      api_query_bool(req, "recursive", false), &condition,
				      &callbacks, t, &t->guest, &err);
	}
	if (r < 0) {
		http_on_gone(req, NULL, NULL);
		http_reply_error(req, &err, NULL);
		if (t)
			file_transfer_free(t);
	}
}
