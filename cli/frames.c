/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"

void frames_init(struct frames *frames, int stdout_fd, int stderr_fd)
{
	*frames = (struct frames){ .stdout_fd = stdout_fd, .stderr_fd = stderr_fd };
	buf_init(&frames->line, FRAME_MAX);
}

void frames_done(struct frames *frames)
{
	buf_done(&frames->line);
	json_decref(frames->problem);
	frames->problem = NULL;
}

static int write_output(struct frames *frames, const json_t *frame, int fd)
{
	const json_t *data = json_object_get(frame, "data");
	const json_t *encoded = json_object_get(frame, "base64");
	autofree unsigned char *bytes = NULL;
	size_t len = json_string_length(data);
	ssize_t n;
	int r;

	if (json_is_string(data)) {
		r = write_all(fd, json_string_value(data), json_string_length(data));
	} else if (json_is_string(encoded)) {
		bytes = malloc(json_string_length(encoded) + 1);
		n = bytes ? base64_decode(json_string_value(encoded), json_string_length(encoded),
					  bytes)
			  : -ENOMEM;
		r = n < 0 ? (int)n : write_all(fd, bytes, (size_t)n);
		len = n < 0 ? 0 : (size_t)n;
	} else {
		r = -EBADMSG;
	}
	if (r < 0)
		return error_errno(&frames->error, r, "output of the command");
	if (json_object_get(frame, "offset"))
		frames->offset = (uint64_t)json_int(frame, "offset") + len;
	return 0;
}

static void take_skipped(struct frames *frames, const json_t *frame)
{
	frames->offset = (uint64_t)json_int(frame, "to");
	(void)fprintf(stderr, "banger: output from byte %lld to %lld is not kept any more\n",
		      (long long)json_int(frame, "from"), (long long)json_int(frame, "to"));
}

void frames_restart(struct frames *frames)
{
	buf_consume(&frames->line, buf_len(&frames->line));
}

static void take_exit(struct frames *frames, const json_t *frame)
{
	const json_t *code = json_object_get(frame, "exit_code");

	frames->ended = true;
	frames->timed_out = json_is_true(json_object_get(frame, "timed_out"));
	if (json_is_integer(code))
		frames->exit_code = (int)(json_integer_value(code) & 0xff);
	else
		frames->exit_code = (128 + (int)json_int(frame, "signal")) & 0xff;
}

static int take_frame(struct frames *frames, const char *line, size_t len)
{
	json_auto_t *frame = json_parse(line, len, &frames->error);
	const char *type = json_str(frame, "type");

	if (!frame)
		return error_wrap(&frames->error, "the server's reply");
	if (streq(type, "stdout"))
		return write_output(frames, frame, frames->stdout_fd);
	if (streq(type, "stderr"))
		return write_output(frames, frame, frames->stderr_fd);
	if (streq(type, "exit")) {
		take_exit(frames, frame);
	} else if (streq(type, "skipped")) {
		take_skipped(frames, frame);
	} else if (streq(type, "error")) {
		frames->ended = true;
		frames->problem = json_incref(json_object_get(frame, "problem"));
	}
	return 0;
}

int frames_take(void *data, const char *bytes, size_t len)
{
	struct frames *frames = data;

	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline - bytes) : len;
		int r = buf_append(&frames->line, bytes, n);

		if (r < 0)
			return error_errno(&frames->error, r, "a line of the server's reply");
		if (!newline)
			break;
		if (buf_len(&frames->line) > 0)
			r = take_frame(frames, (const char *)buf_bytes(&frames->line),
				       buf_len(&frames->line));
		buf_consume(&frames->line, buf_len(&frames->line));
		if (r < 0)
			return r;
		bytes += n + 1;
		len -= n + 1;
	}
	return 0;
}
