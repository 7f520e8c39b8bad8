/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a stream, taken or made beside the agent's loop: that may block, or run out of disk,
 * without holding up anybody. Bytes go through a ring. What is taken may be nonsense, so a process
 * takes it, a fork of the agent. What is made is made by a thread: a change of process costs an
 * emulated processor all that it knows of pages, for each of which it then has to look anew.
 */
#pragma once

#include "agent/service/ring.h"
#include "agent/service/service.h"

/* At once: each has a ring of its own, and one whose disk does not answer stays until it does. */
enum { WORKS_MAX = 32 };

struct work;

/* What the thread or process has. */
struct work_side {
	int fd; /* that of the spec, or a duplicate */
	struct ring ring;
	size_t lent; /* bytes of the ring that it has at hand */
};

/* All that it does. 0, or a negative errno with *err set. */
typedef int work_fn(struct work_side *side, const void *data, struct error *err);

struct work_spec {
	bool takes; /* the request's body; otherwise it makes the reply's */
	int fd;     /* borrowed; a process has no others of the agent's */
	work_fn *run;
	const void *run_data; /* copied, so it points to nothing that goes; NULL: none */
	size_t run_size;
	/*
	 * Called once for what takes: it has ended, well if err->code is ERR_NONE, and
	 * the stream wants a reply; or the stream is gone (NULL), and the process with it. The work
	 * is of no use any more then.
	 */
	void (*ended)(void *data, struct link_stream *stream, const struct error *err);
	void *data;
};

/*
 * Serves the stream from now on. What is made ends the stream: with a reset where that failed.
 * Nothing is changed when it fails: ERR_UNAVAILABLE where there are WORKS_MAX.
 */
int work_start(struct agent *agent, struct link_stream *stream, const struct work_spec *spec,
	       struct work **ret_work, struct error *err) MUST_USE;
/* As if bytes had come on the stream. False: the stream has to wait. */
bool work_give(struct work *work, const uint8_t *bytes, size_t len);
/* Ends it; ended() is not called. The stream is the caller's again. */
void work_stop(struct work *work);

/* --- for the thread or process; `side` is a struct work_side, as in struct tar_source and tar_sink
 * --- */

/* Waits for bytes of the stream; those given before are done with. 0 at the end, or -errno. */
ssize_t work_next(void *side, const uint8_t **ret_bytes);
/* Waits for room for the stream's bytes, and says how much there is in one piece. */
ssize_t work_room(void *side, uint8_t **ret_room);
/* So many bytes are there. 0. */
int work_filled(void *side, size_t len);
