/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in a test: an agent that serves on one end of a socketpair and a struct guest on the
 * other, on one loop. rig_run() runs the loop until a condition holds; the test's own time limit
 * ends a wait that never does.
 */
#pragma once

#include "agent/service/service.h"
#include "server/guest/guest.h"
#include "tests/unit/test.h"

struct rig {
	struct loop *loop;
	struct agent agent;
	struct guest *guest;
	struct guest_info info;
	int up; /* how often the link came up */
	int down;
	int opens;
	bool no_agent;  /* the other end is the test's own: `peer` */
	bool unplugged; /* open() fails */
	int peer;
	int signal_fd;
	struct loop_fd *signal_source;
	struct loop_timer *tick;
	bool (*until)(void *data);
	void *until_data;
};

void rig_start(struct rig *rig);
/* With the test itself as the agent: bytes go to and come from rig->peer. */
void rig_start_alone(struct rig *rig);
void rig_stop(struct rig *rig);
void rig_run(struct rig *rig, bool (*until)(void *data), void *data);
/* Until the link is up for the n-th time. */
void rig_wait_up(struct rig *rig, int n);
/* Until it has gone down for the n-th time, and until it has been opened so often. */
void rig_wait_down(struct rig *rig, int n);
void rig_wait_open(struct rig *rig, int n);
/* Breaks the connection under both sides. */
void rig_break(struct rig *rig);
/* Reads what has come for the peer, running the loop, until `text` has been seen; returns all. */
size_t rig_peer_read(struct rig *rig, char *to, size_t size, const char *text);
/* The answer that an agent would give to what rig_peer_read() returned. */
void rig_peer_answer(struct rig *rig, const char *hello);

/* An exec and all that came of it. */
struct ran {
	struct guest_exec *exec; /* NULL once ended */
	struct rig *rig;
	char *out;
	size_t out_len;
	char err[4096];
	size_t err_len;
	size_t keep; /* stop after each this many bytes; 0: never */
	size_t since_pause;
	bool paused;
	int pauses;
	const char *input; /* written as far as it goes, then closed */
	size_t input_left;
	bool ended;
	struct guest_exec_end end;
};

extern const struct guest_exec_callbacks ran_callbacks;
void ran_start(struct rig *rig, struct ran *ran, const char *id, const char *script);
void ran_start_spec(struct rig *rig, struct ran *ran, const char *id,
		    const struct guest_exec_spec *spec);
bool ran_ended(void *data);
void ran_done(struct ran *ran);
