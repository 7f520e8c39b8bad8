/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between a stream of the link and descriptors (a socket, a pipe), either way or both, with
 * flow control: what one side does not take is not read from the other. Embedded in the state of a
 * request, whose stream callbacks hand on to pump_data(), pump_end() and pump_writable().
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/link/session.h"
#include "lib/loop/loop.h"

struct pump {
	struct loop *loop;
	struct link_stream *stream;
	int to_fd;   /* the peer's bytes go there; -1: closed */
	int from_fd; /* bytes for the peer come from there; -1: closed */
	struct loop_fd *to_source;
	struct loop_fd *from_source;
	struct buf held; /* of the peer, not yet written */
	bool peer_ended;
	bool stopped; /* the peer waits until `held` is written */
	/*
	 * to_fd is done with and closed: all of the peer's bytes are written, or (error: negative
	 * errno) it takes no more. May free the pump's owner.
	 */
	void (*to_done)(void *data, int error);
	/* from_fd is done with and closed: at its end, or with an error. May free the owner. */
	void (*from_done)(void *data, int error);
	void *data;
};

/* Takes the descriptors over: non-blocking, different ones, or -1. */
void pump_init(struct pump *pump, struct loop *loop, struct link_stream *stream, int to_fd,
	       int from_fd);
/* Closes what is open; the stream is not touched. */
void pump_done(struct pump *pump);
/* Begins to read from_fd. May end in from_done(). */
void pump_start(struct pump *pump);

bool pump_data(struct pump *pump, const uint8_t *bytes, size_t len);
void pump_end(struct pump *pump);
void pump_writable(struct pump *pump);
