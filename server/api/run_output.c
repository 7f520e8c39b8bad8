/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run's log as a stream. Each follower reads the file at its own pace: a slow one holds up
 * neither the run nor the others.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/frames.h"
#include "server/api/runs.h"
#include "server/run/run.h"

/* Longer than any line of the log. */
enum { CHUNK = 128 * 1024, EXIT_NO_COMMAND = 125 };

struct follower {
	struct api *api;
	struct http_stream *stream;
	struct run_watcher *watcher; /* until the run has ended */
	char id[ID_LEN + 1];
	int fd;
	off_t at;
	bool text;
	bool owner;
	bool ended;
	int exit_code;
	char why[400]; /* the run failed, or "" */
};

static void follower_free(struct follower *f)
{
	run_unwatch(f->watcher);
	close_keep_errno(f->fd);
	free(f);
}

static void on_gone(void *data)
{
	struct follower *f = data;
	struct run *run = runs_find(f->api->runs, f->id);

	if (run && f->owner && !run_outlives_client(run))
		run_cancel(run, "the client that left");
	follower_free(f);
}

/* As a shell has it: 128 and the signal's number; 125 when there was no command to speak of. */
static int exit_code(const json_t *view)
{
	const json_t *code = json_object_get(view, "exit_code");
	const json_t *sig = json_object_get(view, "signal");

	if (json_object_get(view, "error") || (!code && !sig))
		return EXIT_NO_COMMAND;
	return json_is_integer(code) ? (int)json_integer_value(code)
				     : 128 + (int)json_integer_value(sig);
}

static void take_result(struct follower *f, const json_t *view)
{
	const json_t *detail = json_object_get(json_object_get(view, "error"), "detail");

	f->ended = true;
	f->exit_code = exit_code(view);
	if (detail)
		(void)snprintf(f->why, sizeof(f->why), "banger: %s\n", json_string_value(detail));
}

static void write_output(struct follower *f, const char *line, size_t len)
{
	json_auto_t *frame = json_loadb(line, len, 0, NULL);
	const json_t *data = json_object_get(frame, "data");
	const json_t *encoded = json_object_get(frame, "base64");
	autofree unsigned char *bytes = NULL;
	ssize_t n;

	if (data) {
		(void)http_stream_write(f->stream, json_string_value(data),
					json_string_length(data));
		return;
	}
	if (!encoded)
		return;
	bytes = malloc(json_string_length(encoded) + 4);
	n = bytes ? base64_decode(json_string_value(encoded), json_string_length(encoded), bytes)
		  : -ENOMEM;
	if (n > 0)
		(void)http_stream_write(f->stream, bytes, (size_t)n);
}

/* Whole lines only; how many bytes they were. */
static size_t write_lines(struct follower *f, const char *chunk, size_t len)
{
	size_t done = 0;

	for (;;) {
		const char *newline = memchr(chunk + done, '\n', len - done);

		if (!newline)
			return done;
		write_output(f, chunk + done, (size_t)(newline - chunk) - done);
		done = (size_t)(newline - chunk) + 1;
	}
}

static void end(struct follower *f)
{
	struct http_stream *stream = f->stream;
	char code[16];

	(void)snprintf(code, sizeof(code), "%d", f->exit_code);
	/* The NDJSON log has a frame of it. */
	if (f->text && f->why[0])
		(void)http_stream_write(stream, f->why, strlen(f->why));
	http_stream_trailer(stream, "Banger-Exit-Code", code);
	follower_free(f);
	http_stream_end(stream);
}

/* Passes on what there is, as far as the client reads. */
static void pump(struct follower *f)
{
	static char chunk[CHUNK]; /* the loop's thread only */

	while (http_stream_room(f->stream) >= CHUNK) {
		ssize_t n = pread(f->fd, chunk, sizeof(chunk), f->at);
		size_t used = n > 0 ? (size_t)n : 0;

		if (n < 0) {
			http_stream_abort(f->stream);
			follower_free(f);
			return;
		}
		if (f->text)
			used = write_lines(f, chunk, used);
		else if (used > 0)
			(void)http_stream_write(f->stream, chunk, used);
		f->at += (off_t)used;
		if (used == 0 && f->ended)
			end(f);
		if (used == 0)
			return;
	}
}

/* The output alone has no way to say it: it breaks off. */
static void on_ending(void *data)
{
	struct follower *f = data;
	struct http_stream *stream = f->stream;
	struct error err = ERROR_INIT;
	bool text = f->text;

	api_ending_error(&err);
	if (!text)
		api_write_frame(stream, api_error_frame(&err));
	follower_free(f);
	if (text)
		http_stream_abort(stream);
	else
		http_stream_end(stream);
}

static void on_drained(void *data)
{
	pump(data);
}

static void on_change(struct run *run, void *data)
{
	struct follower *f = data;

	if (run_has_ended(run)) {
		json_auto_t *view = run_to_json(run);

		f->watcher = NULL;
		take_result(f, view);
	}
	pump(f);
}

static int begin(struct follower *f, struct run *run, struct error *err)
{
	json_auto_t *view = NULL;
	int r = runs_open_log(f->api->runs, f->id, &f->fd, err);

	if (r == 0 && run) {
		f->watcher = run_watch(run, on_change, f);
		return f->watcher ? 0 : error_set(err, ERR_NO_ROOM, "no memory to follow");
	}
	if (r == 0)
		r = runs_get(f->api->runs, f->id, &view, err);
	take_result(f, view);
	return r;
}

void api_run_follow(struct http_request *req, struct api *api, const char *id, bool owner)
{
	static const struct http_stream_callbacks callbacks = { .drained = on_drained,
								.ending = on_ending,
								.gone = on_gone };
	struct follower *f = calloc(1, sizeof(*f));
	struct error err = ERROR_INIT;
	char location[64];

	if (!f) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory to follow");
		http_reply_error(req, &err, NULL);
		return;
	}
	*f = (struct follower){ .api = api, .fd = -1, .owner = owner };
	(void)snprintf(f->id, sizeof(f->id), "%s", id);
	f->text = http_accepts(req, "text/plain");
	f->at = api_query_number(req, "offset", 0);
	if (begin(f, runs_find(api->runs, id), &err) < 0) {
		follower_free(f);
		http_reply_error(req, &err, NULL);
		return;
	}
	(void)snprintf(location, sizeof(location), "/runs/%s", id);
	http_reply_header(req, "Location", location);
	http_reply_header(req, "Trailer", "Banger-Exit-Code");
	f->stream = http_stream_begin(
		req, 200, f->text ? "text/plain; charset=utf-8" : "application/x-ndjson",
		&callbacks, f);
	if (f->stream)
		pump(f);
	else
		follower_free(f);
}

void api_run_output(struct http_request *req, void *context)
{
	api_run_follow(req, context, http_param(req, "run"), false);
}
