/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/files/{path}: files, folders and trees of a guest, as streams in constant memory. A
 * slow client holds back the guest, and a slow guest the client.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/api/range.h"

enum { LISTING_MAX = 4 * 1024 * 1024 };

struct transfer {
	struct http_request *req; /* until a stream begins or the reply is sent */
	struct http_stream *stream;
	struct guest_stream *guest;
	struct guest *at; /* good while `guest` is there */
	char *path;
	bool tar;
	bool ranged;
	struct guest_range range;
	bool folder; /* its listing is collected in `listing` */
	struct buf listing;
	struct guest_file_info info; /* for HEAD, and of what was written */
};

static void transfer_free(struct transfer *t)
{
	buf_done(&t->listing);
	free(t->path);
	free(t);
}

static void on_client_gone(void *data)
{
	struct transfer *t = data;

	guest_stream_abort(t->guest);
	transfer_free(t);
}

/* The path as the guest has it: absolute. The caller frees. */
static char *guest_path(const struct http_request *req)
{
	char *path = NULL;

	return asprintf(&path, "/%s", http_param(req, "path")) < 0 ? NULL : path;
}

/* --- out of the guest --- */

static void on_drained(void *data)
{
	struct transfer *t = data;

	if (t->guest)
		guest_stream_resume(t->guest);
}

static void describe(struct transfer *t, const struct guest_file_info *info)
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

/* The agent's tag without its quotes; "" for none, or for one that has not its form. */
static void plain_etag(const struct guest_file_info *info, char ret[sizeof(info->etag)])
{
	size_t n = strlen(info->etag);

	ret[0] = '\0';
	if (n > 2 && info->etag[0] == '"' && strchr(info->etag + 1, '"') == info->etag + n - 1)
		(void)snprintf(ret, sizeof(info->etag), "%.*s", (int)n - 2, info->etag + 1);
}

static void tell_etag(struct transfer *t, const struct guest_file_info *info)
{
	char etag[sizeof(info->etag)];
	char quoted[sizeof(etag) + 2];

	plain_etag(info, etag);
	if (!etag[0])
		return;
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
	http_reply_header(t->req, "ETag", quoted);
}

/* Adds the ETag; true when the client has that version: it was told, and nothing is left to do. */
static bool not_modified(struct transfer *t, const struct guest_file_info *info)
{
	char etag[sizeof(info->etag)];

	plain_etag(info, etag);
	if (!etag[0] || !http_not_modified(t->req, etag))
		return false;
	if (t->guest)
		guest_stream_abort(t->guest);
	transfer_free(t);
	return true;
}

static void begin(struct transfer *t, int status, const char *type)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.gone = on_client_gone };

	t->stream = http_stream_begin(t->req, status, type, &callbacks, t);
	t->req = NULL;
}

static int begin_get(struct transfer *t, struct error *err);

/* A part of another version than the client has (If-Range) would be of no use: all of it. */
static bool begins_anew(struct transfer *t, const struct guest_file_info *info)
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
		transfer_free(t);
	}
	return true;
}

static void reply_outside(struct transfer *t, uint64_t size)
{
	struct error err = ERROR_INIT;
	char range[48];

	(void)snprintf(range, sizeof(range), "bytes */%" PRIu64, size);
	http_reply_header(t->req, "Content-Range", range);
	(void)error_set(&err, ERR_RANGE, "the file has %" PRIu64 " bytes", size);
	http_reply_error(t->req, &err, NULL);
	guest_stream_abort(t->guest);
	transfer_free(t);
}

static void on_file_ready(void *data, const struct guest_file_info *info)
{
	struct transfer *t = data;
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
static void refuse_listing(struct transfer *t)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_GUEST, "the guest's listing has more than %d bytes", LISTING_MAX);
	guest_stream_abort(TAKE_PTR(t->guest));
	http_on_gone(t->req, NULL, NULL);
	http_reply_error(t->req, &err, NULL);
	transfer_free(t);
}

static bool on_file_bytes(void *data, const void *bytes, size_t len)
{
	struct transfer *t = data;

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
	struct transfer *t = data;
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
	transfer_free(t);
}

/* --- what it is, without it --- */

static void on_info(void *data, const struct guest_file_info *info)
{
	struct transfer *t = data;

	t->info = *info;
}

static void on_head_end(void *data, const struct error *err)
{
	struct transfer *t = data;
	struct http_stream *stream;

	t->guest = NULL;
	http_on_gone(t->req, NULL, NULL);
	if (err->code != ERR_NONE) {
		http_reply_error(t->req, err, NULL);
		transfer_free(t);
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
	transfer_free(t);
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

static struct transfer *transfer_new(struct http_request *req)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct transfer){ .req = req,
				.path = guest_path(req),
				.tar = api_query_bool(req, "tar", false),
				.range = GUEST_RANGE_ALL };
	buf_init(&t->listing, LISTING_MAX);
	if (t->path)
		return t;
	transfer_free(t);
	return NULL;
}

static int begin_get(struct transfer *t, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_file_ready,
								 .output = on_file_bytes,
								 .end = on_get_end };
	static const struct guest_stream_callbacks head = { .ready = on_info, .end = on_head_end };

	if (t->tar)
		return guest_tar_get(t->at, t->path, &callbacks, t, &t->guest, err);
	if (streq(http_method(t->req), "HEAD"))
		return guest_file_head(t->at, t->path, true, &head, t, &t->guest, err);
	return guest_file_get(t->at, t->path, &t->range, &callbacks, t, &t->guest, err);
}

void api_file_get(struct http_request *req, void *context)
{
	struct api *api = context;
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_get, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
		r = t ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0) {
		t->at = vm_guest(vm);
		t->ranged = api_range_parse(http_header(req, "Range"), &t->range);
		http_on_gone(req, on_client_gone, t);
		r = begin_get(t, &err);
	}
	if (r < 0) {
		http_on_gone(req, NULL, NULL);
		http_reply_error(req, &err, NULL);
		if (t)
			transfer_free(t);
	}
}

/* --- into the guest --- */

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct transfer *t = data;

	/* After an early refusal the rest of the body is dropped. */
	return t->guest ? guest_stream_write(t->guest, bytes, len) : len;
}

static void on_upload_end(void *data)
{
	struct transfer *t = data;

	if (t->guest)
		guest_stream_finish(t->guest);
}

static void on_writable(void *data)
{
	struct transfer *t = data;

	http_upload_resume(t->req);
}

static void on_put_end(void *data, const struct error *err)
{
	struct transfer *t = data;

	t->guest = NULL;
	if (err->code != ERR_NONE) {
		http_reply_error(t->req, err, NULL);
	} else {
		tell_etag(t, &t->info);
		http_reply_empty(t->req, 204);
	}
	transfer_free(t);
}

/* A tree has no version, so nothing can be bound to it. */
static int read_condition(const struct transfer *t, struct guest_condition *ret, struct error *err)
{
	*ret = (struct guest_condition){ .if_match = http_header(t->req, "If-Match"),
					 .if_none_match = http_header(t->req, "If-None-Match") };
	if (t->tar && (ret->if_match || ret->if_none_match))
		return error_set(err, ERR_INVALID,
				 "If-Match and If-None-Match: a tree has no version; they are for "
				 "single files");
	return 0;
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
	static const struct guest_stream_callbacks callbacks = { .ready = on_info,
								 .writable = on_writable,
								 .end = on_put_end };
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_client_gone };
	struct api *api = context;
	struct guest_put_options options = put_options(req);
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_put, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
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
			transfer_free(t);
		return;
	}
	http_upload_begin(req, &upload, t);
}

/* --- away --- */

void api_file_delete(struct http_request *req, void *context)
{
	static const struct guest_stream_callbacks callbacks = { .end = on_get_end };
	struct api *api = context;
	struct guest_condition condition;
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_delete, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
		r = t ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	/* Nothing of it goes when it is asked for by mistake. */
	if (r == 0 && strspn(t->path, "/.") == strlen(t->path))
		r = error_set(&err, ERR_INVALID,
			      "path: the guest's root folder can't be deleted; name what is in it");
	if (r == 0)
		r = read_condition(t, &condition, &err);
	if (r == 0) {
		http_on_gone(req, on_client_gone, t);
		r = guest_file_delete(vm_guest(vm), t->path,
				      api_query_bool(req, "recursive", false), &condition,
				      &callbacks, t, &t->guest, &err);
	}
	if (r < 0) {
		http_on_gone(req, NULL, NULL);
		http_reply_error(req, &err, NULL);
		if (t)
			transfer_free(t);
	}
}
