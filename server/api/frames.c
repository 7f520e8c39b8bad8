/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/frames.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/http/problem.h"

json_t *api_output_frame(bool is_stderr, const unsigned char *bytes, size_t len)
{
	const char *type = is_stderr ? "stderr" : "stdout";
	json_t *data = memchr(bytes, 0, len) ? NULL : json_stringn((const char *)bytes, len);
	autofree char *encoded = data ? NULL : base64_encode(bytes, len);

	return data ? json_pack("{s:s, s:o}", "type", type, "data", data)
		    : json_pack("{s:s, s:s}", "type", type, "base64", encoded ? encoded : "");
}

json_t *api_exit_frame(int exit_code, int signal, bool timed_out, double duration_ms)
{
	return json_pack("{s:s, s:o, s:o, s:b, s:f}", "type", "exit", "exit_code",
			 exit_code >= 0 ? json_integer(exit_code) : json_null(), "signal",
			 signal > 0 ? json_integer(signal) : json_null(), "timed_out", timed_out,
			 "duration_ms", duration_ms);
}

json_t *api_error_frame(const struct error *err)
{
	return json_pack("{s:s, s:o}", "type", "error", "problem",
			 problem_to_json(err, NULL, NULL, false));
}

json_t *api_end_frame(void)
{
	return json_pack("{s:s, s:s}", "type", "end", "reason", "the server ends");
}

void api_ending_error(struct error *err)
{
	(void)error_set(err, ERR_UNAVAILABLE, "the server ends; what runs goes on");
}

void api_write_frame(struct http_stream *stream, json_t *frame)
{
	autofree char *text = json_text(frame);
	size_t len = text ? strlen(text) : 0;

	json_decref(frame);
	if (!text)
		return;
	text[len] = '\n'; /* in the place of the NUL */
	(void)http_stream_write(stream, text, len + 1);
}

void api_exit_trailer(struct http_stream *stream, int exit_code, int signal)
{
	char code[16];

	(void)snprintf(code, sizeof(code), "%d", exit_code >= 0 ? exit_code : 128 + signal);
	http_stream_trailer(stream, "Banger-Exit-Code", code);
}
