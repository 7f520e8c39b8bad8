/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of an NDJSON reply about a command: its output, and how it ended. */
#pragma once

#include "server/api/handlers.h"

enum {
	FRAME_BYTES_MAX = 16 * 1024, /* of output in one frame */
	/* Bytes of a frame grow sixfold at worst ("\u0001" for one). */
	FRAME_ROOM = FRAME_BYTES_MAX * 6 + 256,
};

/* Bytes as text where they are valid UTF-8 without NUL, else in base64. New reference or NULL. */
json_t *api_output_frame(bool is_stderr, const unsigned char *bytes, size_t len);
/* exit_code -1: none; signal 0: none. */
json_t *api_exit_frame(int exit_code, int signal, bool timed_out, double duration_ms);
json_t *api_error_frame(const struct error *err);
/* Of a stream that has no end of its own, when the server ends. */
json_t *api_end_frame(void);
/* What is said in place of an end that the server's own end prevents. */
void api_ending_error(struct error *err);
/* Writes one as a line; steals it. The stream has room (FRAME_ROOM). */
void api_write_frame(struct http_stream *stream, json_t *frame);
/* "0", or as a shell has it: 128 and the signal's number. */
void api_exit_trailer(struct http_stream *stream, int exit_code, int signal);
