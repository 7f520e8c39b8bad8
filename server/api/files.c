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

enum { LISTING_MAX = 4 * 1024 * 1024 };

struct transfer {
	struct http_request *req; /* until a stream begins or the reply is sent */
	struct http_stream *stream;
	struct guest_stream *guest;
	bool tar;
	bool ranged;
	uint64_t from;
	uint64_t length; /* UINT64_MAX: to the end */
	bool folder;     /* its listing is collected in `listing` */
	struct buf listing;
};

static void transfer_free(struct transfer *t)
{
	buf_done(&t->listing);
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

static bool asked(const struct http_request *req, const char *name)
{
	const char *value = http_query(req, name);

	return value && streq(value, "true");
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
	(void)snprintf(text, sizeof(text), "%" PRIu64, info->size);
	http_reply_header(t->req, "Banger-File-Size", text);
	http_reply_header(t->req, "Banger-File-Type", info->type);
	http_reply_header(t->req, "Accept-Ranges", "bytes");
	if (info->etag[0])
		http_reply_header(t->req, "ETag", info->etag);
}

static void begin(struct transfer *t, int status, const char *type)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.gone = on_client_gone };

	t->stream = http_stream_begin(t->req, status, type, &callbacks, t);
	t->req = NULL;
}

static void on_file_ready(void *data, const struct guest_file_info *info)
{
	struct transfer *t = data;
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
	describe(t, info);
	if (t->ranged && info->length > 0) {
		(void)snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
			       t->from, t->from + info->length - 1, info->size);
		http_reply_header(t->req, "Content-Range", range);
	}
	begin(t, t->ranged ? 206 : 200, "application/octet-stream");
}

static bool on_file_bytes(void *data, const void *bytes, size_t len)
{
	struct transfer *t = data;

	if (t->folder)
		return buf_append(&t->listing, bytes, len) == 0;
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

/* "bytes=from-to" or "bytes=from-": one range (RFC 9110 section 14.1.2); others are ignored, as
 * that allows. */
static void parse_range(const struct http_request *req, struct transfer *t)
{
	const char *range = http_header(req, "Range");
	unsigned long long from;
	unsigned long long to;
	char *end = NULL;

	if (!range || !str_has_prefix(range, "bytes=") || range[6] < '0' || range[6] > '9')
		return;
	from = strtoull(range + 6, &end, 10);
	if (*end != '-')
		return;
	if (end[1] == '\0') {
		t->ranged = true;
		t->from = from;
		return;
	}
	to = strtoull(end + 1, &end, 10);
	if (*end != '\0' || to < from || to - from == UINT64_MAX)
		return;
	t->ranged = true;
	t->from = from;
	t->length = to - from + 1;
}

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
	*t = (struct transfer){ .req = req, .tar = asked(req, "tar"), .length = UINT64_MAX };
	buf_init(&t->listing, LISTING_MAX);
	return t;
}

void api_file_get(struct http_request *req, void *context)
{
	static const struct guest_stream_callbacks callbacks = { .ready = on_file_ready,
								 .output = on_file_bytes,
								 .end = on_get_end };
	struct api *api = context;
	autofree char *path = guest_path(req);
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_get, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
		r = t && path ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0) {
		parse_range(req, t);
		http_on_gone(req, on_client_gone, t);
		r = t->tar ? guest_tar_get(vm_guest(vm), path, &callbacks, t, &t->guest, &err)
			   : guest_file_get(vm_guest(vm), path, t->from, t->length, &callbacks, t,
					    &t->guest, &err);
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
	if (err->code != ERR_NONE)
		http_reply_error(t->req, err, NULL);
	else
		http_reply_empty(t->req, 204);
	transfer_free(t);
}

static struct guest_put_options put_options(const struct http_request *req)
{
	struct guest_put_options o = GUEST_PUT_OPTIONS_INIT;
	const char *mode = http_query(req, "mode");

	o.offset = api_query_number(req, "offset", -1);
	o.uid = api_query_number(req, "uid", -1);
	o.gid = api_query_number(req, "gid", -1);
	o.parents = asked(req, "parents");
	if (mode)
		o.mode = (int32_t)strtol(mode, NULL, 8);
	return o;
}

void api_file_put(struct http_request *req, void *context)
{
	static const struct guest_stream_callbacks callbacks = { .writable = on_writable,
								 .end = on_put_end };
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_client_gone };
	struct api *api = context;
	autofree char *path = guest_path(req);
	struct guest_put_options options = put_options(req);
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_put, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
		r = t && path ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0)
		r = t->tar ? guest_tar_put(vm_guest(vm), path, &callbacks, t, &t->guest, &err)
			   : guest_file_put(vm_guest(vm), path, &options, &callbacks, t, &t->guest,
					    &err);
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
	autofree char *path = guest_path(req);
	struct transfer *t = NULL;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = api_working_vm(req, api, api_file_delete, &vm, &err);

	if (r > 0)
		return;
	if (r == 0) {
		t = transfer_new(req);
		r = t && path ? 0 : error_errno(&err, -ENOMEM, "file");
	}
	if (r == 0) {
		http_on_gone(req, on_client_gone, t);
		r = guest_file_delete(vm_guest(vm), path, asked(req, "recursive"), &callbacks, t,
				      &t->guest, &err);
	}
	if (r < 0) {
		http_on_gone(req, NULL, NULL);
		http_reply_error(req, &err, NULL);
		if (t)
			transfer_free(t);
	}
}
