/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /vms/{vm}/files/{path}: files, folders and trees of a guest, as streams in constant memory. A
 * slow client holds back the guest. file_change.c is the way in.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/file_transfer.h"
#include "server/api/range.h"

/* --- out of the guest --- */

static void on_drained(void *data)
{
	struct file_transfer *t = data;

	if (t->guest)
		guest_stream_resume(t->guest);
}

static void describe(struct file_transfer *t, const struct guest_file_info *info)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%04o", info->mode);
	http_reply_header(t->req, "Banger-File-Mode", text);
	(void)snprintf(text, sizeof(text), "%u:%u", info->uid, info->gid);
	http_reply_header(t->req, "Banger-File-Owner", text);
	http_reply_header(t->req, "Banger-File-Type", info->type);
	if (!info->sized)
		return;
	(void)snprintf(text, sizeof(text), "%" PRIu64, info->size);
	http_reply_header(t->req, "Banger-File-Size", text);
	http_reply_header(t->req, "Accept-Ranges", "bytes");
}

/* Adds the ETag; true when the client has that version: it was told, and nothing is left to do. */
static bool not_modified(struct file_transfer *t, const struct guest_file_info *info)
{
	char etag[sizeof(info->etag)];

	file_plain_etag(info, etag);
	if (!etag[0] || !http_not_modified(t->req, etag))
		return false;
	if (t->guest)
		guest_stream_abort(t->guest);
	file_transfer_free(t);
	return true;
}

static void begin(struct file_transfer *t, int status, const char *type)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.gone = file_client_gone };

	t->stream = http_stream_begin(t->req, status, type, &callbacks, t);
	t->req = NULL;
}

static int begin_get(struct file_transfer *t, struct error *err);

/* A part of another version than the client has (If-Range) would be of no use: all of it. */
static bool begins_anew(struct file_transfer *t, const struct guest_file_info *info)
{
	const char *wanted = http_header(t->req, "If-Range");
	struct error err = ERROR_INIT;

	if (!t->ranged || !wanted || streq(wanted, info->etag))
		return false;
	guest_stream_abort(TAKE_PTR(t->guest));
	t->ranged = false;
	t->range = GUEST_RANGE_ALL;
	if (begin_get(t, &err) < 0) {
		http_on_gone(t->req, NULL, NULL);
		http_reply_error(t->req, &err, NULL);
		file_transfer_free(t);
	}
	return true;
}

static void reply_outside(struct file_transfer *t, uint64_t size)
{
	struct error err = ERROR_INIT;
	char range[48];

	(void)snprintf(range, sizeof(range), "bytes */%" PRIu64, size);
	http_reply_header(t->req, "Content-Range", range);
	(void)error_set(&err, ERR_RANGE, "the file has %" PRIu64 " bytes", size);
	http_reply_error(t->req, &err, NULL);
	guest_stream_abort(t->guest);
	file_transfer_free(t);
}

static void on_file_ready(void *data, const struct guest_file_info *info)
{
	struct file_transfer *t = data;
	uint64_t from = 0, length = info->size;
	char range[80];

	if (t->tar) {
		begin(t, 200, "application/x-tar");
		return;
	}
	t->folder = streq(info->type, "dir");
	if (t->folder) {
		http_reply_header(t->req, "Banger-File-Type", info->type);
		return;
	}
	t->ranged = t->ranged && info->sized;
	if (begins_anew(t, info))
		return;
	http_on_gone(t->req, NULL, NULL);
	if (not_modified(t, info))
		return;
	describe(t, info);
	if (t->ranged && !api_range_place(&t->range, info->size, &from, &length)) {
		reply_outside(t, info->size);
		return;
	}
	if (t->ranged) {
		(void)snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from,
			       from + length - 1, info->size);
		http_reply_header(t->req, "Content-Range", range);
	}
	if (info->sized)
		http_stream_length(t->req, length);
	begin(t, t->ranged ? 206 : 200, "application/octet-stream");
}

/* No agent sends as much. */
static void refuse_listing(struct file_transfer *t)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_GUEST, "the guest's listing has more than %zu bytes",
			t->listing.max);
	guest_stream_abort(TAKE_PTR(t->guest));
	http_on_gone(t->req, NULL, NULL);
	http_reply_error(t->req, &err, NULL);
	file_transfer_free(t);
}

static bool on_file_bytes(void *data, const void *bytes, size_t len)
{
	struct file_transfer *t = data;

	if (t->folder) {
		if (buf_append(&t->listing, bytes, len) < 0)
			refuse_listing(t);
		return true;
	}
	if (!t->stream)
		return true;
	(void)http_stream_write(t->stream, bytes, len);
	return http_stream_room(t->stream) > HTTP_STREAM_BUFFER / 2;
}

/* The guest wrote this: only what has the right form is passed on. NULL for what has not. */
static json_t *entry_json(const json_t *e)
{
	const char *name = json_string_value(json_object_get(e, "name"));
	const char *type = json_string_value(json_object_get(e, "type"));
	const char *target = json_string_value(json_object_get(e, "target"));
	const char *base64 = json_string_value(json_object_get(e, "name_base64"));
	json_int_t mtime_ns = json_integer_value(json_object_get(e, "mtime_ns"));
	char when[32];
	json_t *one;

	if (!name || !type)
		return NULL;
	one = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "name", name, "type", type, "size",
			json_integer_value(json_object_get(e, "size")), "mode",
			json_integer_value(json_object_get(e, "mode")), "uid",
			json_integer_value(json_object_get(e, "uid")), "gid",
			json_integer_value(json_object_get(e, "gid")));
	if (mtime_ns >= 0)
		(void)json_object_set_new(one, "modified",
					  json_string(clock_format_ms(mtime_ns / 1000000, when)));
	if (base64)
		(void)json_object_set_new(one, "name_base64", json_string(base64));
	if (target)
		(void)json_object_set_new(one, "target", json_string(target));
	return one;
}

static json_t *listing_json(const struct buf *b, struct error *err)
{
	json_auto_t *o = json_parse((const char *)(buf_len(b) ? buf_bytes(b) : (const uint8_t *)""),
				    buf_len(b), err);
	const json_t *entries = json_object_get(o, "entries");
	json_t *clean = json_array();
	const json_t *e;
	size_t i;

	json_array_foreach (entries, i, e) {
		json_t *one = entry_json(e);

		if (one)
			(void)json_array_append_new(clean, one);
	}
	return json_pack("{s:o, s:b}", "entries", clean, "truncated",
			 json_is_true(json_object_get(o, "truncated")));
}

static void on_get_end(void *data, const struct error *err)
{
	struct file_transfer *t = data;
	struct error bad = ERROR_INIT;

	t->guest = NULL;
	if (t->req)
		http_on_gone(t->req, NULL, NULL);
	if (err->code != ERR_NONE && t->req)
		http_reply_error(t->req, err, NULL);
	else if (err->code != ERR_NONE && t->stream)
		http_stream_abort(t->stream);
	else if (t->stream)
		http_stream_end(t->stream);
	else if (t->folder)
		http_reply_json(t->req, 200, listing_json(&t->listing, &bad));
	else if (t->req)
		http_reply_empty(t->req, 204);
	file_transfer_free(t);
}

/* --- what it is, without it --- */

static void on_head_end(void *data, const struct error *err)
{
	struct file_transfer *t = data;
	struct http_stream *stream;

	t->guest = NULL;
	http_on_gone(t->req, NULL, NULL);
	if (err->code != ERR_NONE) {
		http_reply_error(t->req, err, NULL);
		file_transfer_free(t);
		return;
	}
	t->folder = streq(t->info.type, "dir");
	if (!t->folder && not_modified(t, &t->info))
		return;
	describe(t, &t->info);
	if (!t->folder && t->info.sized)
		http_stream_length(t->req, t->info.size);
	stream = http_stream_begin(t->req, 200,
				   t->folder ? "application/json" : "application/octet-stream",
				   NULL, NULL);
	if (stream)
		http_stream_end(stream);
	file_transfer_free(t);
}

/* --- the beginning --- */

int api_working_vm(struct http_request *req, struct api *api, http_handler_fn *again,
		   struct vm **ret_vm, struct error *err)
{
	int r = vms_get(api->vms, http_param(req, "vm"), ret_vm, err);

	if (r == 0 && api_wake_first(req, api, *ret_vm, again))
		return 1;
	if (r == 0)
		r = vm_state_allows(vm_get_state(*ret_vm), VM_VERB_EXEC, vm_row(*ret_vm)->name,
				    err);
	if (r == 0)
		vm_touch(*ret_vm);
	return r;
}

static int begin_get(struct file_transfer *t, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_file_ready,
								 .output = on_file_bytes,
								 .end = on_get_end };
	static const struct guest_stream_callbacks head = { .ready = file_note_info,
							    .end = on_head_end };

	if (t->tar)
		return guest_tar_get(t->at, t->path, &callbacks, t, &t->guest, err);
	if (streq(http_method(t->req), "HEAD"))
		return guest_file_head(t->at, t->path, true, &head, t, &t->guest, err);
	return guest_file_get(t->at, t->path, &t->range, &callbacks, t, &t->guest, err);
}

void api_file_get(struct http_request *req, void *context)
{
	struct api *api = context;
	struct file_transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_get, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = file_transfer_new(req);
		r = t ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0) {
		t->at = vm_guest(vm);
		t->ranged = api_range_parse(http_header(req, "Range"), &t->range);
		http_on_gone(req, file_client_gone, t);
		r = begin_get(t, &err);
	}
	if (r < 0) {
		http_on_gone(req, NULL, NULL);
		http_reply_error(req, &err, NULL);
		if (t)
			file_transfer_free(t);
	}
}
