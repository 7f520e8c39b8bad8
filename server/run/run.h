/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: one CI job each, from one request. A run waits for its turn, makes a VM, puts files into
 * it, runs a command, collects what the command left, and deletes the VM whatever happened, unless
 * it was told to keep it after a failure.
 *
 * Output and stages go as NDJSON lines into a file of bounded size, the run's log; whoever wants to
 * follow reads that file, so a follower costs no memory and holds nothing up.
 *
 * All on the loop's thread. A run that the end of the server interrupted is failed at the next
 * start and its VM deleted.
 */
#pragma once

#include <sys/types.h>

#include "server/vm/vm.h"

struct runs;
struct run;

enum {
	RUN_LOG_MAX = 64 * 1024 * 1024,
	RUN_ARTIFACTS_MAX = 16,
	RUN_QUEUE_MAX = 1000,
};

/* All borrowed for the life of `struct runs`. */
struct runs_config {
	struct loop *loop;
	struct store *store;
	struct events *events;
	struct vms *vms;
	struct snapshots *snapshots;
	const char *state_dir;                       /* absolute: <state> */
	unsigned int parallel;                       /* runs that have a VM at the same time */
	unsigned int kept;                           /* ended runs that are remembered */
	uint64_t artifacts_max;                      /* bytes that one run may leave */
	json_t *(*problem)(const struct error *err); /* how the API shows an error; new reference */
};

int runs_new(const struct runs_config *config, struct runs **ret_runs, struct error *err) MUST_USE;
/* The server ends: none begins any more, and none of those under way goes on. They stay as they
 * are, for the next start. */
void runs_stop(struct runs *runs);
void runs_free(struct runs *runs);

/* `body` is the validated request (see RunCreate in the OpenAPI document), kept; `id` NULL: a new
 * one. *ret_run is borrowed. */
int run_submit(struct runs *runs, const char *id, const json_t *body, const char *who,
	       struct run **ret_run, struct error *err) MUST_USE;
/* One that has not ended, or NULL. */
struct run *runs_find(struct runs *runs, const char *id);
/* Asks it to end; its VM goes. */
void run_cancel(struct run *run, const char *who);

const char *run_id(const struct run *run);
bool run_has_ended(const struct run *run);
/* Whether it should go on when the client that began it has left. */
bool run_outlives_client(const struct run *run);
/* The API's view; new reference. */
json_t *run_to_json(const struct run *run);
/* The same of any run, ended ones included; ERR_NOT_FOUND. New reference. */
int runs_get(struct runs *runs, const char *id, json_t **ret_run, struct error *err) MUST_USE;

/* Newest first, ids below `before` ("" for all). `fn` returns false to end the walk. */
typedef bool runs_each_fn(const json_t *run, void *data);
int runs_each(struct runs *runs, const char *before, runs_each_fn *fn, void *data,
	      struct error *err) MUST_USE;

/* Those that have not ended, oldest first: the first one for NULL, NULL after the last. */
struct run *runs_next(struct runs *runs, const struct run *after);

/* How many wait and how many are under way. */
void runs_count(const struct runs *runs, unsigned int *ret_queued, unsigned int *ret_running);

/* --- its log --- */

/* A descriptor to read the log from, the caller's; ERR_NOT_FOUND. */
int runs_open_log(struct runs *runs, const char *id, int *ret_fd, struct error *err) MUST_USE;

struct run_watcher;
/* Called when the log has grown and, as the last call, when the run has ended: the watcher is gone
 * when that returns. */
typedef void run_watch_fn(struct run *run, void *data);
/* NULL when out of memory. */
struct run_watcher *run_watch(struct run *run, run_watch_fn *fn, void *data);
/* NULL is fine. Also from within a watcher. */
void run_unwatch(struct run_watcher *watcher);

/* --- the workspace, sent after the request --- */

/* Of the sender, as the upload of a tar archive. */
struct run_upload_callbacks {
	/* More can be taken. */
	void (*writable)(void *data);
	/* Unpacked (ERR_NONE), or why not. The upload is over. */
	void (*end)(void *data, const struct error *err);
};

/* ERR_STATE unless the run waits for it. One sender at a time. */
int run_upload_begin(struct run *run, const struct run_upload_callbacks *callbacks, void *data,
		     struct error *err) MUST_USE;
/* Bytes taken; 0 until the VM is ready for them. */
size_t run_upload_write(struct run *run, const void *bytes, size_t len);
void run_upload_finish(struct run *run);
/* The sender has left: the run waits for another. No further callback. */
void run_upload_abort(struct run *run);

/* --- artefacts --- */

/* The tar archive of the artefact `path` (NULL: the only one), the caller's descriptor. */
int runs_open_artifact(struct runs *runs, const char *id, const char *path, int *ret_fd,
		       struct error *err) MUST_USE;
