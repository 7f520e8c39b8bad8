/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots out of this server and into it, as tar streams. */
#include <stdlib.h>

#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/vm/archive.h"

enum { CHUNK = 64 * 1024 };

struct transfer {
	struct api *api;
	struct http_request *req; /* until the reply begins */
	struct http_stream *stream;
	struct snapshot_archive *archive; /* NULL: given away, or over */
	bool packed;                      /* an export's process has ended well */
	bool read;                        /* and its bytes have been taken */
	struct op *op;                    /* of an import that is complete */
	void *watch;
};

static void transfer_free(struct transfer *t)
{
	if (t->watch)
		op_unwatch(t->op, t->watch);
	if (t->op)
		op_unref(t->op);
	snapshot_archive_free(t->archive);
	free(t);
}

static void on_gone(void *data)
{
	transfer_free(data);
}

/* --- out --- */

static void on_drained(void *data)
{
	struct transfer *t = data;

	snapshot_archive_watch(t->archive, true);
}

/* The end of the bytes and the end of the process come in any order. */
static void end_when_complete(struct transfer *t)
{
	if (!t->packed || !t->read)
		return;
	http_stream_end(t->stream);
	transfer_free(t);
}

static void on_readable(void *data)
{
	struct transfer *t = data;
	char bytes[CHUNK];
	ssize_t n;

	if (http_stream_room(t->stream) < sizeof(bytes)) {
		snapshot_archive_watch(t->archive, false);
		return;
	}
	n = snapshot_archive_read(t->archive, bytes, sizeof(bytes));
	if (n > 0)
		(void)http_stream_write(t->stream, bytes, (size_t)n);
	t->read = n == 0;
	end_when_complete(t);
}

/* Broken off, so that the client does not take it for whole. */
static void on_packed(void *data, const struct error *err)
{
	struct transfer *t = data;

	t->packed = true;
	if (err->code == ERR_NONE) {
		end_when_complete(t);
		return;
	}
	http_stream_abort(t->stream);
	transfer_free(t);
}

void api_snapshot_export(struct http_request *req, void *context)
{
	static const struct snapshot_archive_callbacks callbacks = { .ready = on_readable,
								     .end = on_packed };
	static const struct http_stream_callbacks stream = { .drained = on_drained,
							     .gone = on_gone };
	struct api *api = context;
	struct transfer *t = calloc(1, sizeof(*t));
	struct error err = ERROR_INIT;
	int r = t ? snapshot_archive_export(api->snapshots, http_param(req, "snapshot"), &callbacks,
					    t, &t->archive, &err)
		  : error_set(&err, ERR_NO_ROOM, "no memory for the export");

	if (r < 0) {
		free(t);
		http_reply_error(req, &err, NULL);
		return;
	}
	t->api = api;
	t->stream = http_stream_begin(req, 200, "application/x-tar", &stream, t);
	if (!t->stream)
		transfer_free(t);
}

/* --- in --- */

static size_t on_upload_data(void *data, const void *bytes, size_t len)
{
	struct transfer *t = data;
	size_t n = t->archive ? snapshot_archive_write(t->archive, bytes, len) : len;

	if (n < len)
		snapshot_archive_watch(t->archive, true);
	return n;
}

static void on_upload_end(void *data)
{
	struct transfer *t = data;

	if (t->archive)
		snapshot_archive_finish(t->archive);
}

static void on_writable(void *data)
{
	struct transfer *t = data;

	snapshot_archive_watch(t->archive, false);
	http_upload_resume(t->req);
}

static void refuse(struct transfer *t, const struct error *err)
{
	http_on_gone(t->req, NULL, NULL);
	http_reply_error(t->req, err, t->op ? op_id(t->op) : NULL);
	transfer_free(t);
}

static void on_published(struct op *op, void *data)
{
	struct transfer *t = data;
	json_auto_t *view = op_to_json(op);
	const char *id =
		json_string_value(json_object_get(json_object_get(view, "result"), "snapshot"));
	struct http_request *req = t->req;

	t->watch = NULL;
	if (op_get_state(op) != OP_SUCCEEDED) {
		refuse(t, op_error(op));
		return;
	}
	http_on_gone(req, NULL, NULL);
	api_reply_snapshot(req, t->api, id, 201);
	transfer_free(t);
}

static void on_unpacked(void *data, const struct error *err)
{
	struct transfer *t = data;
	struct snapshot_archive *archive = t->archive;
	struct error refused;
	struct op *op = NULL;

	if (err->code != ERR_NONE) {
		refuse(t, err);
		return;
	}
	t->archive = NULL;
	if (snapshot_archive_publish(archive, http_principal(t->req), &op, &refused) < 0) {
		refuse(t, &refused);
		return;
	}
	t->op = op_ref(op);
	t->watch = op_watch(op, on_published, t);
}

void api_snapshot_import(struct http_request *req, void *context)
{
	static const struct snapshot_archive_callbacks callbacks = { .ready = on_writable,
								     .end = on_unpacked };
	static const struct http_upload_callbacks upload = { .data = on_upload_data,
							     .end = on_upload_end,
							     .gone = on_gone };
	struct api *api = context;
	struct transfer *t = calloc(1, sizeof(*t));
	struct error err = ERROR_INIT;
	int r = t ? snapshot_archive_import(api->snapshots, &callbacks, t, &t->archive, &err)
		  : error_set(&err, ERR_NO_ROOM, "no memory for the import");

	if (r < 0) {
		free(t);
		http_reply_error(req, &err, NULL);
		return;
	}
	t->api = api;
	t->req = req;
	http_upload_begin(req, &upload, t);
}
