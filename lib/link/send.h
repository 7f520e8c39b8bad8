/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of exec streams (frame.h) on a stream of a session (session.h). */
#pragma once

#include "lib/link/frame.h"
#include "lib/link/session.h"

/*
 * Sends a frame whose payload is `a` (at most 16 bytes) and then `b`, whole. False when there is no
 * room for it now: nothing was sent, and the stream's writable() will come.
 */
bool link_send_frame(struct link_stream *stream, uint8_t type, const void *a, size_t a_len,
		     const void *b, size_t b_len);
