/* SPDX-License-Identifier: Apache-2.0 */
/* A VM goes back to a snapshot: its disk is replaced as a whole, then it starts from the snapshot's
 * memory or boots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/snapshot.h"
#include "server/vm/suspend.h"
#include "server/vm/vm_internal.h"

const char vm_restoring_reason[] = "going back to a snapshot";

static int set_stopping(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;

	(void)err;
	if (vm_state_may_follow(vm->state, VM_STOPPING))
		vm_set_state(vm, VM_STOPPING, "stopped", vm_restoring_reason, job->who, log_op());
	return 0;
}

static int set_stopped(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;

	(void)err;
	vm_detach(vm, vm->state == VM_STOPPING ? VM_STOPPED : vm->state, vm_restoring_reason,
		  job->who, log_op());
	suspend_discard(vm);
	if (!streq(vm->row.reason, vm_restoring_reason))
		vm_set_state(vm, vm->state, NULL, vm_restoring_reason, job->who, log_op());
	return 0;
}

static int set_failed(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;
	char why[sizeof(vm->row.reason)];

	(void)snprintf(why, sizeof(why), "going back to the snapshot failed: %.400s", err->msg);
	if (streq(vm->row.reason, vm_restoring_reason))
		vm_set_state(vm, vm->state, NULL, why, job->who, log_op());
	return 0;
}

/* Beside the old one, flushed, then renamed over it: a crash leaves one or the other. */
static int replace_disk(const struct verb_job *job, struct error *err)
{
	autoclose int source = snapshots_open(job->vms->c.snapshots, job->snapshot);
	autoclose int from =
		source < 0 ? source : open_regular_beneath(source, "work.ext4", O_RDONLY, 0);
	autoclose int dir = open_beneath(job->vms->vms_fd, job->id, O_RDONLY | O_DIRECTORY, 0);
	autoclose int to = -1;
	int r;

	if (from < 0 || dir < 0)
		return error_errno(err, from < 0 ? from : dir, "open the snapshot's disk");
	(void)unlinkat(dir, "work.ext4.new", 0);
	to = open_beneath(dir, "work.ext4.new", O_RDWR | O_CREAT | O_EXCL, 0600);
	r = to < 0 ? to : copy_sparse(from, to);
	if (r == 0 && (fsync(to) < 0 || renameat(dir, "work.ext4.new", dir, "work.ext4") < 0 ||
		       fsync(dir) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, "work.ext4.new", 0);
	return r < 0 ? error_errno(err, r, "put the disk back") : 0;
}

struct wanted {
	const struct verb_job *job;
	struct made made;
	int dir_fd;
	bool verified;
};

static int look(struct vm *vm, void *data, struct error *err)
{
	struct wanted *w = data;
	const struct snapshot *one = snapshots_held(vm->vms->c.snapshots, w->job->snapshot);

	w->dir_fd = one ? snapshots_open(vm->vms->c.snapshots, one->id) : -ENOENT;
	if (w->dir_fd < 0)
		return error_errno(err, w->dir_fd, "open the snapshot");
	w->made = one->made;
	w->verified = one->verified;
	return 0;
}

static int mark_verified(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;
	struct snapshot *one = snapshots_held(vm->vms->c.snapshots, job->snapshot);

	(void)err;
	if (one)
		one->verified = true;
	return 0;
}

/* Before the VM ends for it. */
static int check(struct op *op, struct verb_job *job, struct error *err)
{
	struct wanted w = { .job = job, .dir_fd = -1 };
	int r = vm_on_loop(job, look, &w, err);

	op_stage(op, "check");
	if (r == 0 && !w.verified)
		r = made_check(w.dir_fd, &w.made, MADE_ALL, err);
	close_keep_errno(w.dir_fd);
	return r < 0 || w.verified ? r : vm_on_loop(job, mark_verified, job, err);
}

static int stand_on(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;

	(void)err;
	vm_stand_on(vm, job->snapshot);
	return 0;
}

static int run_restore(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	int r = check(op, job, err);

	if (r == 0)
		r = vm_on_loop(job, set_stopping, job, err);

	if (r == 0)
		r = vm_end_process(op, job, 0, VM_STATE_MAX_, NULL, err);
	if (r == 0)
		r = vm_on_loop(job, set_stopped, job, err);
	if (r < 0)
		return r;
	op_stage(op, "put back");
	r = replace_disk(job, err);
	if (r == 0)
		r = vm_on_loop(job, stand_on, job, err);
	if (r == 0)
		r = vm_run_start(op, job, err);
	if (r < 0)
		(void)!vm_on_loop(job, set_failed, job, err);
	return r;
}

int vm_restore(struct vm *vm, struct snapshot *snapshot, const char *who, struct op **ret_op,
	       struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_RESTORE, .memory = snapshot->memory };
	int r = vm_state_allows(vm->state, VM_VERB_RESTORE, vm->row.name, err);

	if (r == 0 && snapshot->memory)
		r = snapshots_check(vm->vms->c.snapshots, snapshot, err);
	if (r < 0)
		return r;
	if (!streq(snapshot->image_id, vm->row.image_id) ||
	    snapshot->disk_mib != vm->row.disk_mib ||
	    (snapshot->memory &&
	     (snapshot->vcpus != vm->row.vcpus || snapshot->memory_mib != vm->row.memory_mib)))
		return error_set(err, ERR_STATE,
				 "snapshot %s has another image, disk or memory size than VM '%s'; "
				 "create a VM from it instead",
				 snapshot->id, vm->row.name);
	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	(void)snprintf(job.snapshot, sizeof(job.snapshot), "%s", snapshot->id);
	/* Before its disk is another. */
	r = vm_admit(vm, err);
	return r < 0 ? r
		     : vm_submit_verb(vm, "vm.restore", run_restore, &job, snapshot, ret_op, err);
}
