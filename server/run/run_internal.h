/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once

#include "server/run/junit.h"
#include "server/run/run.h"

enum run_state {
	RUN_QUEUED,
	RUN_RUNNING,
	RUN_SUCCEEDED,
	RUN_FAILED,
	RUN_CANCELLED,
	RUN_STATE_MAX_
};

enum run_phase {
	RUN_PHASE_QUEUED,
	RUN_PHASE_CREATING,
	RUN_PHASE_COPYING,
	RUN_PHASE_RUNNING,
	RUN_PHASE_COLLECTING,
	RUN_PHASE_DELETING,
	RUN_PHASE_ENDED,
	RUN_PHASE_MAX_,
};

/* Decoded from the body, which lives as long. */
struct run_spec {
	const char *image;
	const char *kernel;
	const char *from_snapshot;
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t disk_mib;
	const json_t *labels;
	const char *network;
	bool nat;
	const char *init;
	const char *boot;
	const json_t *argv;
	const char *script;
	const json_t *env;
	const char *cwd;
	const char *user;
	uint32_t timeout_s;
	const json_t *files;
	const json_t *workspace;
	const json_t *artifacts;
	const char *keep;
	const char *on_disconnect;
};

struct run_artifact {
	const char *path; /* borrowed from the body */
	uint64_t size;
	char problem[128]; /* "" when it is there */
};

struct run {
	struct runs *runs;
	struct run *next; /* among those that have not ended, oldest first */
	char id[ID_LEN + 1];
	char who[128];
	json_t *body;
	struct run_spec spec;
	enum run_state state;
	enum run_phase phase;
	int64_t begun_us[RUN_PHASE_MAX_]; /* monotonic; 0: was not in this phase */
	int64_t created_ms, started_ms, ended_ms;
	unsigned int position; /* in the queue; see turns_position() */

	char vm_id[ID_LEN + 1]; /* "" without one */
	bool kept;
	bool busy; /* the VM knows that we work in it */
	struct op *op;
	void *op_watch;
	struct guest_exec *exec;
	struct guest_stream *stream;
	struct loop_timer *timer;
	struct loop_timer *later; /* moves on, outside of whoever called */

	size_t at;              /* of files or artefacts, the one that is on its way */
	unsigned char *sending; /* owned; what is left of the file on its way */
	size_t send_len, send_off;

	const struct run_upload_callbacks *upload;
	void *upload_data;
	bool unpacked;
	bool upload_whole; /* its sender has sent all */

	int dir_fd;
	int log_fd;
	uint64_t log_size;
	bool log_full;
	int artifact_fd;
	struct junit *junit;     /* reads the artefact on its way */
	json_t *reports;         /* of tests, found in all of them; NULL before */
	uint64_t artifact_bytes; /* of all */
	struct run_artifact artifacts[RUN_ARTIFACTS_MAX];
	size_t n_artifacts;

	bool has_exit;
	struct guest_exec_end exit;
	struct error error;
	bool cancelled;
	struct run_watcher *watchers;
};

struct runs {
	struct runs_config c;
	int dir_fd;
	struct run *first; /* that have not ended */
	unsigned int n;
	struct loop_timer *turn; /* looks who may begin */
	bool stopping;

	/* Of turns.c. */
	struct run_queue *queues;
	uint64_t served;
	bool places_known; /* run->position of those that wait holds */
};

/* --- runs.c --- */

/* Writes the row and tells the event. */
void run_save(struct run *run);
/* The run has ended: it leaves memory. */
void run_leave(struct run *run);
/* Looks soon whether another one may begin. */
void runs_kick(struct runs *runs);

/* --- run_check.c --- */

/* 0, or what is wrong with the request. */
int run_check(const struct runs *runs, const struct run_spec *s, struct error *err) MUST_USE;

/* --- turns.c --- */

/* Its place in the queue, from 1: how many begin before it does, and itself. 0: it does not wait.
 */
unsigned int turns_position(const struct run *run);
/* The one that begins next; NULL when none waits. */
struct run *turns_next(struct runs *runs);
/* Its turn has come. */
void turns_served(const struct run *run);
void turns_forget(struct runs *runs);

/* --- run.c --- */

/* Makes the VM. False when the host has no room now and the run should wait on. */
bool run_start(struct run *run);
void run_set_phase(struct run *run, enum run_phase phase);
/* Why the run fails; the first reason counts. Goes on with the deletion of the VM. */
void run_fail(struct run *run, const struct error *err);
/* The next phase. Called by the timer that run_next() sets. */
void run_step(struct run *run);
/* What comes after the phase, once the caller has returned. */
void run_next(struct run *run);
/* Drops what is under way in the guest. */
void run_let_go(struct run *run);

/* --- run_copy.c, run_collect.c: one phase each --- */

void run_copy(struct run *run);
void run_collect(struct run *run);

/* --- run_log.c --- */

int run_log_open(struct run *run, struct error *err) MUST_USE;
/* Watchers that are still there are dropped. */
void run_log_close(struct run *run);
/* Steals `line`. */
void run_log_line(struct run *run, json_t *line);
void run_log_output(struct run *run, bool is_stderr, const void *bytes, size_t len);
/* A line behind the log of a run that an earlier server left, whose last one may be cut. Steals it.
 */
void run_log_amend(struct runs *runs, const char *id, json_t *line);

/* --- run_json.c --- */

const char *run_state_name(enum run_state state);
const char *run_phase_name(enum run_phase phase);
