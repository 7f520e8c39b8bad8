/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent serves over the guest link; lib/link/protocol.h is the contract. One event loop,
 * whose thread has all of it; the threads of work.h have a ring each. Everything here also runs in
 * a test process on the host, against a socketpair.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/link/session.h"
#include "lib/loop/loop.h"

struct agent_link;
struct exec;

typedef void child_ended_fn(void *data, int status);

struct child {
	struct child *next;
	pid_t pid;
	child_ended_fn *fn;
	void *data;
};

struct agent {
	struct loop *loop;
	bool in_guest; /* this is a VM of ours: its clock, identity and power may be touched */
	bool degraded;
	char problem[256];
	bool system_init; /* PID 1 is the image's init */
	uint64_t boot_us;
	char boot_id[40]; /* the present one: a copy's own */
	struct agent_link *links;
	struct child *children;
	struct exec *execs;
	uint32_t works; /* threads and processes of work.h */
	uint32_t execs_running;
	uint32_t execs_ended;
	size_t output_bytes; /* held for all execs */
	pid_t reply_after;   /* set by a call: its reply waits for the end of this child */
	struct loop_timer *power_timer;
	int power_left_ms; /* until what still runs is killed */
	int power_command; /* of reboot(2) */
};

/* `agent` is zeroed but for what main() knows. Returns 0 or -errno. */
int agent_init(struct agent *agent, struct loop *loop) MUST_USE;
/* Ends links and forgets execs; what runs is killed. */
void agent_done(struct agent *agent);

/* --- links (link.c) --- */

/*
 * Serves on a byte stream, which is taken over. A `port` reads as end of file while the other
 * side is closed and lives for ever; anything else is closed at its end.
 */
int agent_link_add(struct agent *agent, int fd, bool port) MUST_USE;
/* Closes the newest link; what runs goes on. */
void agent_link_drop(struct agent *agent);

/* --- requests (router.c) --- */

void agent_request(struct agent *agent, struct link_stream *stream);

/* Ends the request with {"error", "errno"}; the stream needs no ops after that. */
void agent_reply_error(struct link_stream *stream, const struct error *err);
/* Steals `body`. */
void agent_reply_json(struct link_stream *stream, int status, json_t *body);

/*
 * The part of a request's path behind `prefix`, percent-decoded and with a '/' in front, without
 * its query. -EINVAL for a bad escape or a NUL in it.
 */
int agent_request_path(const struct link_stream *stream, const char *prefix, char *path,
		       size_t size) MUST_USE;
/* A parameter of the query as a number; `otherwise` when it is not there. -EINVAL or 0. */
int agent_request_number(const struct link_stream *stream, const char *name, int base,
			 uint64_t otherwise, uint64_t *ret) MUST_USE;

/* --- children (child.c) --- */

/* Calls fn once with the wait status when `pid`, a child, has ended. */
int agent_child_add(struct agent *agent, pid_t pid, child_ended_fn *fn, void *data) MUST_USE;
/* Its end is of no interest any more. */
void agent_child_forget(struct agent *agent, pid_t pid);
/* Reaps all that has ended, adopted orphans included. Called on SIGCHLD. */
void agent_reap(struct agent *agent);

/* --- execs (exec.c) --- */

void exec_request(struct agent *agent, struct link_stream *stream);
json_t *execs_to_json(const struct agent *agent);
void execs_done(struct agent *agent);

/* --- tunnels (tunnel.c) --- */

void tunnel_request(struct agent *agent, struct link_stream *stream);

/* --- calls: body in, reply out --- */

typedef int call_fn(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err);

/* Sets the error for what must not be done outside a VM. */
int agent_refuse_outside(struct error *err);

call_fn call_clock, call_identity, call_stats, call_ports, call_poweroff, call_execs, call_sync,
	call_home;

/* Stops a shutdown's timer. */
void power_done(struct agent *agent);
