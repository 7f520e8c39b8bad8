/* SPDX-License-Identifier: Apache-2.0 */
/* What the command left, as one tar archive for each path that was asked for. An artefact that
 * can't be had is told; it does not fail the run. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/run/run_internal.h"

static void next_artifact(struct run *run);

static void name_of(size_t index, char *buf, size_t size)
{
	(void)snprintf(buf, size, "artifact-%zu.tar", index);
}

/* Ends the one on its way; with a problem its bytes go. */
static void end_one(struct run *run, const char *problem)
{
	struct run_artifact *a = &run->artifacts[run->at];
	char name[32];

	close_keep_errno(take_fd(&run->artifact_fd));
	junit_free(TAKE_PTR(run->junit));
	if (problem) {
		(void)snprintf(a->problem, sizeof(a->problem), "%s", problem);
		name_of(run->at, name, sizeof(name));
		(void)remove_tree_at(run->dir_fd, name);
		run->artifact_bytes -= a->size;
		a->size = 0;
	}
	run->at++;
	next_artifact(run);
}

static bool on_bytes(void *data, const void *bytes, size_t len)
{
	struct run *run = data;
	struct run_artifact *a = &run->artifacts[run->at];
	const char *problem = NULL;

	if (run->artifact_bytes + len > run->runs->c.artifacts_max)
		problem = "more than runs.artifacts_mib allows";
	else if (write_all(run->artifact_fd, bytes, len) < 0)
		problem = "no room on the host";
	if (problem) {
		(void)snprintf(a->problem, sizeof(a->problem), "%s", problem);
		guest_stream_abort(run->stream);
		run->stream = NULL;
		end_one(run, a->problem);
		return true;
	}
	run->artifact_bytes += len;
	a->size += len;
	if (run->junit)
		junit_feed(run->junit, bytes, len);
	return true;
}

static void on_end(void *data, const struct error *err)
{
	struct run *run = data;

	run->stream = NULL;
	end_one(run, err->code == ERR_NONE ? NULL : err->msg);
}

static void next_artifact(struct run *run)
{
	static const struct guest_stream_callbacks callbacks = { .output = on_bytes,
								 .end = on_end };
	struct vm *vm = vms_find(run->runs->c.vms, run->vm_id);
	struct error err = ERROR_INIT;
	char name[32];

	if (run->at == run->n_artifacts || !vm || !vm_guest(vm)) {
		run_next(run);
		return;
	}
	run->junit = junit_new(run->reports);
	name_of(run->at, name, sizeof(name));
	run->artifact_fd =
		open_regular_beneath(run->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (run->artifact_fd < 0)
		end_one(run, "no room on the host");
	else if (guest_tar_get(vm_guest(vm), run->artifacts[run->at].path, &callbacks, run,
			       &run->stream, &err) < 0)
		end_one(run, err.msg);
}

void run_collect(struct run *run)
{
	run->at = 0;
	run->reports = json_array();
	run_set_phase(run, RUN_PHASE_COLLECTING);
	next_artifact(run);
}

/* Which of the artefacts of a run's view is meant; -1 with err set. */
static int choose(const json_t *list, const char *id, const char *path, struct error *err)
{
	const json_t *one;
	size_t i;

	if (!path && json_array_size(list) == 1)
		return 0;
	json_array_foreach (list, i, one)
		if (path && streq(path, json_string_value(json_object_get(one, "path"))))
			return (int)i;
	if (path)
		(void)error_set(err, ERR_NOT_FOUND, "?path: run %s has no artefact %.200s", id,
				path);
	else
		(void)error_set(err, ERR_INVALID, "?path: run %s has %zu artefacts; name one", id,
				json_array_size(list));
	return -1;
}

int runs_open_artifact(struct runs *runs, const char *id, const char *path, int *ret_fd,
		       struct error *err)
{
	json_auto_t *view = NULL;
	const json_t *list;
	const char *problem;
	char name[ID_LEN + 40];
	int index;
	int r = runs_get(runs, id, &view, err);

	if (r < 0)
		return r;
	if (runs_find(runs, id))
		return error_set(err, ERR_STATE, "run %s has not ended", id);
	list = json_object_get(view, "artifacts");
	index = choose(list, id, path, err);
	if (index < 0)
		return error_to_errno(err);
	problem =
		json_string_value(json_object_get(json_array_get(list, (size_t)index), "problem"));
	if (problem)
		return error_set(err, ERR_NOT_FOUND, "the artefact could not be collected: %s",
				 problem);
	(void)snprintf(name, sizeof(name), "%s/artifact-%d.tar", id, index);
	*ret_fd = open_regular_beneath(runs->dir_fd, name, O_RDONLY, 0);
	if (*ret_fd == -ENOENT)
		return error_set(err, ERR_NOT_FOUND,
				 "run %s ended before its artefacts were collected", id);
	return *ret_fd < 0 ? error_errno(err, *ret_fd, "artefact of run %s", id) : 0;
}
