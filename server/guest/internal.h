/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share; not for others. */
#pragma once

#include "lib/link/session.h"
#include "server/guest/guest.h"

struct call;

struct guest_lists {
	struct guest_exec *execs;   /* exec.c */
	struct loop_timer *release; /* of execs that have ended */
	struct guest_stream *streams;
	struct call *calls; /* call.c */
};

struct loop *guest_loop(struct guest *guest);
/* NULL while the link is down. */
struct link_session *guest_session(struct guest *guest);
struct guest_lists *guest_lists(struct guest *guest);

/* POST `path`; the header of the reply and all else come through `ops`. NULL when it can't be
 * opened. */
struct link_stream *guest_open_stream(struct guest *guest, const char *method, const char *path,
				      bool body, const struct link_stream_ops *ops,
				      void *data) MUST_USE;

/* The link is up: begins what waits for it. */
void execs_link_up(struct guest *guest);
void calls_link_up(struct guest *guest);
/* Tells the agent of the execs that their owners are done with: `release` is due. */
void execs_release(void *guest);
/* The VM has ended: tells everybody. */
void execs_end_all(struct guest *guest, const struct error *why);
void calls_end_all(struct guest *guest, const struct error *why);
void streams_end_all(struct guest *guest, const struct error *why);
