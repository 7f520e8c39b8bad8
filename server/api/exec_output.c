/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/execs/{exec}/output: from any offset that is still kept, and on with what comes. Each
 * reader goes at its own pace through the log; the program waits for none of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/api/frames.h"
#include "server/vm/execs.h"

struct reader {
	struct http_stream *stream;
	struct vm_exec *exec;
	struct vm_exec_watch *watch;
	uint64_t offset;
	uint64_t until; /* without `follow`: what was there at the beginning */
	bool follow;
	bool frames; /* NDJSON; else raw bytes */
};

static void on_client_gone(void *data)
{
	struct reader *r = data;

	vm_exec_unwatch(r->watch);
	free(r);
}

static void fail(struct reader *r, const struct error *err);

static void on_ending(void *data)
{
	struct error err = ERROR_INIT;

	api_ending_error(&err);
	fail(data, &err);
}

/* The reader is gone when this returns. */
static void end(struct reader *r)
{
	vm_exec_unwatch(r->watch);
	http_stream_end(r->stream);
	free(r);
}

static void fail(struct reader *r, const struct error *err)
{
	if (r->frames) {
		api_write_frame(r->stream, api_error_frame(err));
		end(r);
		return;
	}
	vm_exec_unwatch(r->watch);
	http_stream_abort(r->stream); /* no other way to tell */
	free(r);
}

/* All of it has been sent. */
static void end_of_exec(struct reader *r)
{
	const struct exec_row *row = vm_exec_row(r->exec);
	const struct error *why = vm_exec_error(r->exec);

	if (why->code != ERR_NONE) {
		fail(r, why);
		return;
	}
	if (r->frames)
		api_write_frame(r->stream,
				api_exit_frame((int)row->exit_code, (int)row->signal,
					       row->timed_out,
					       (double)(row->ended_ms - row->started_ms)));
	else
		api_exit_trailer(r->stream, (int)row->exit_code, (int)row->signal);
	end(r);
}

/* A reader that was slower than the program has missed some. */
static bool skip_lost(struct reader *r)
{
	uint64_t base = vm_exec_base(r->exec);
	struct error err = ERROR_INIT;

	if (r->offset >= base)
		return true;
	if (!r->frames) {
		(void)error_set(&err, ERR_GUEST, "output was dropped before it was read");
		fail(r, &err);
		return false;
	}
	api_write_frame(r->stream, json_pack("{s:s, s:I, s:I}", "type", "skipped", "from",
					     (json_int_t)r->offset, "to", (json_int_t)base));
	r->offset = base;
	return true;
}

/* One piece; false when there is no more now, or the reader is gone (then *ret_gone). */
static bool send_piece(struct reader *r, bool *ret_gone)
{
	unsigned char bytes[FRAME_BYTES_MAX];
	size_t max = sizeof(bytes);
	struct error err = ERROR_INIT;
	bool is_stderr = false;
	json_t *frame;
	ssize_t n;

	if (!skip_lost(r)) {
		*ret_gone = true;
		return false;
	}
	if (!r->follow && r->until - r->offset < max)
		max = r->offset < r->until ? (size_t)(r->until - r->offset) : 0;
	n = max ? vm_exec_read(r->exec, r->offset, bytes, max, &is_stderr) : 0;
	if (n < 0) {
		(void)error_errno(&err, (int)n, "read the log of exec %s",
				  vm_exec_row(r->exec)->id);
		fail(r, &err);
		*ret_gone = true;
	}
	if (n <= 0)
		return false;
	if (r->frames) {
		frame = api_output_frame(is_stderr, bytes, (size_t)n);
		(void)json_object_set_new(frame, "offset", json_integer((json_int_t)r->offset));
		api_write_frame(r->stream, frame);
	} else {
		(void)http_stream_write(r->stream, bytes, (size_t)n);
	}
	r->offset += (uint64_t)n;
	return true;
}

static void pump(struct reader *r)
{
	bool gone = false;

	while (http_stream_room(r->stream) > 2 * FRAME_ROOM)
		if (!send_piece(r, &gone))
			break;
	if (gone || http_stream_room(r->stream) <= 2 * FRAME_ROOM)
		return;
	if (vm_exec_ended(r->exec) && r->offset >= vm_exec_end(r->exec))
		end_of_exec(r);
	else if (!r->follow && r->offset >= r->until)
		end(r);
}

static void on_drained(void *data)
{
	pump(data);
}

static void on_news(void *data, enum vm_exec_news news)
{
	struct reader *r = data;
	struct error err = ERROR_INIT;

	if (news == VM_EXEC_GONE) {
		r->watch = NULL;
		(void)error_set(&err, ERR_NOT_FOUND, "the exec was deleted meanwhile");
		fail(r, &err);
	} else if (news == VM_EXEC_CHANGED) {
		pump(r);
	}
}

static int check_from(struct vm_exec *exec, uint64_t from, struct error *err)
{
	if (from <= vm_exec_end(exec))
		return 0;
	return error_set(err, ERR_INVALID, "?from: exec %s has written %llu bytes so far",
			 vm_exec_row(exec)->id, (unsigned long long)vm_exec_end(exec));
}

static struct reader *reader_new(struct http_request *req, struct vm_exec *exec, struct error *err)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (r)
		*r = (struct reader){ .exec = exec,
				      .offset = (uint64_t)api_query_number(req, "from", 0),
				      .until = vm_exec_end(exec),
				      .follow = api_query_bool(req, "follow", false),
				      .frames = http_accepts(req, "application/x-ndjson"),
				      .watch = vm_exec_watch(exec, on_news, r) };
	if (r && r->watch)
		return r;
	free(r);
	(void)error_errno(err, -ENOMEM, "read the output of an exec");
	return NULL;
}

void api_exec_output(struct http_request *req, void *context)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.ending = on_ending,
								.gone = on_client_gone };
	struct vm_exec *exec = NULL;
	struct reader *r = NULL;
	struct error err;
	char from[32];

	if (api_find_exec(req, context, &exec, &err) == 0 &&
	    check_from(exec, (uint64_t)api_query_number(req, "from", 0), &err) == 0)
		r = reader_new(req, exec, &err);
	if (!r) {
		http_reply_error(req, &err, NULL);
		return;
	}
	/* Frames say themselves where they begin and what is missing. */
	if (!r->frames && r->offset < vm_exec_base(exec))
		r->offset = vm_exec_base(exec);
	(void)snprintf(from, sizeof(from), "%llu", (unsigned long long)r->offset);
	http_reply_header(req, "Banger-Output-From", from);
	if (!r->frames)
		http_reply_header(req, "Trailer", "Banger-Exit-Code");
	r->stream = http_stream_begin(
		req, 200, r->frames ? "application/x-ndjson" : "text/plain; charset=utf-8",
		&callbacks, r);
	if (!r->stream) {
		vm_exec_unwatch(r->watch);
		free(r);
		return;
	}
	pump(r);
}
