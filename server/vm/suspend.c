/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/suspend.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/capture.h"
#include "server/vm/snapshot.h"

#define MEMORY_DIR   "suspend"     /* complete */
#define NEW_DIR      "suspend.new" /* being written */
#define RESUMING_DIR "resuming"    /* in use by a restore */

enum { RESUME_MS = 10 * 1000 };

static int vm_dir(const struct vms *vms, const char *id)
{
	return open_beneath(vms->vms_fd, id, O_RDONLY | O_DIRECTORY, 0);
}

int suspend_open(const struct vm *vm)
{
	autoclose int dir = vm_dir(vm->vms, vm->row.id);

	return dir < 0 ? dir : open_beneath(dir, MEMORY_DIR, O_RDONLY | O_DIRECTORY, 0);
}

struct suspended {
	struct made made;
};

static const struct manifest_field fields[] = { MADE_FIELDS(suspended) };

int suspend_look(int dir_fd, struct made *ret_made, struct error *err)
{
	struct suspended one;
	int r = manifest_read(dir_fd, fields, ARRAY_SIZE(fields), &one);

	if (r < 0)
		return error_errno(err, r, "read the manifest of the suspended memory");
	*ret_made = one.made;
	return 0;
}

bool suspend_exists(const struct vm *vm)
{
	autoclose int fd = suspend_open(vm);

	return fd >= 0;
}

static void discard(const struct vms *vms, const char *id)
{
	static const char *const names[] = { MEMORY_DIR, NEW_DIR, RESUMING_DIR };
	autoclose int dir = vm_dir(vms, id);

	for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(names); i++)
		(void)!remove_tree_at(dir, names[i]);
}

void suspend_discard(const struct vm *vm)
{
	discard(vm->vms, vm->row.id);
}

void suspend_forget(const struct verb_job *job)
{
	discard(job->vms, job->id);
}

bool suspend_sweep(const struct vm *vm)
{
	autoclose int dir = vm_dir(vm->vms, vm->row.id);
	bool resuming = dir >= 0 && faccessat(dir, RESUMING_DIR, F_OK, 0) == 0;

	if (dir < 0)
		return false;
	(void)!remove_tree_at(dir, NEW_DIR);
	(void)!remove_tree_at(dir, RESUMING_DIR);
	return resuming;
}

int suspend_begin_resume(const struct verb_job *job, struct error *err)
{
	autoclose int dir = vm_dir(job->vms, job->id);
	int r = dir;

	if (dir >= 0)
		r = renameat(dir, MEMORY_DIR, dir, RESUMING_DIR) < 0 || fsync(dir) < 0 ? -errno : 0;
	return r < 0 ? error_errno(err, r, "take up the memory of VM %s", job->id) : 0;
}

void suspend_end_resume(const struct verb_job *job, bool runs)
{
	autoclose int dir = vm_dir(job->vms, job->id);

	if (dir < 0)
		return;
	if (runs)
		(void)!remove_tree_at(dir, RESUMING_DIR);
	else if (renameat(dir, RESUMING_DIR, dir, MEMORY_DIR) < 0 && errno != ENOENT)
		log_fields(LOG_ERROR, "suspended memory not put back", "vm", job->id, "error",
			   strerrordesc_np(errno), NULL);
}

/* --- suspend --- */

static int mark_suspended(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;
	char why[96] = "";

	(void)err;
	if (job->idle_s)
		(void)snprintf(why, sizeof(why),
			       "suspended after %u s without activity (idle_suspend_s)",
			       job->idle_s);
	vm_detach(vm, VM_SUSPENDED, why, job->who, log_op());
	return 0;
}

struct running {
	const struct vmm_driver *driver;
	const struct vmm_config *config;
	bool wanted; /* it was not paused by its owner */
};

static int look(struct vm *vm, void *data, struct error *err)
{
	struct running *r = data;

	if (vm->proc.pidfd < 0)
		return error_set(err, ERR_STATE, "VM '%s' has ended meanwhile", vm->row.name);
	*r = (struct running){ .driver = vm->driver,
			       .config = &vm->boot.config,
			       .wanted = vm->state == VM_RUNNING };
	return 0;
}

/* What could not be written is no reason to lose the guest. */
static void let_go_on(const struct verb_job *job)
{
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)RESUME_MS * 1000,
				 .cancel_fd = -1 };
	struct running v;
	struct error err;

	if (vm_on_loop(job, look, &v, &err) == 0 &&
	    (!v.wanted || v.driver->resume(v.config, &wait, &err) == 0))
		return;
	vm_doubt(job);
	log_fields(LOG_ERROR, "VM stands still after a failed suspend", "vm", job->id, "error",
		   err.msg, NULL);
}

static int write_memory(struct op *op, struct verb_job *job, int dir, struct error *err)
{
	autoclose int memory = -1;
	struct suspended one;
	struct capture capture = { .job = job,
				   .op = op,
				   .parts = CAPTURE_MEMORY,
				   .resume = false,
				   .lasting = true,
				   .made = &one.made };
	int r;

	/* A running VM has no use for what an earlier, interrupted suspend has left. */
	(void)!remove_tree_at(dir, NEW_DIR);
	(void)!remove_tree_at(dir, MEMORY_DIR);
	memory = open_subdir(dir, NEW_DIR, 0700);
	if (memory < 0)
		return error_errno(err, memory, "make the folder for the memory");
	capture.dir_fd = memory;
	made_here(job->vms, &one.made);
	r = capture_write(&capture, err);
	if (r < 0)
		return r;
	r = manifest_write(memory, fields, ARRAY_SIZE(fields), &one);
	if (r < 0) {
		r = error_errno(err, r, "write the manifest of the memory");
		let_go_on(job);
		return r;
	}
	if (fsync(memory) < 0 || renameat(dir, NEW_DIR, dir, MEMORY_DIR) < 0 || fsync(dir) < 0) {
		r = error_errno(err, -errno, "publish the memory");
		(void)!remove_tree_at(dir, MEMORY_DIR);
		let_go_on(job);
	}
	return r;
}

static int run_suspend(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	autoclose int dir = vm_dir(job->vms, job->id);
	int r;

	if (dir < 0)
		return error_errno(err, dir, "open the folder of VM %s", job->id);
	r = write_memory(op, job, dir, err);
	if (r < 0) {
		(void)!remove_tree_at(dir, NEW_DIR);
		return r;
	}
	r = vm_end_process(op, job, 0, VM_STATE_MAX_, NULL, err);
	return r < 0 ? r : vm_on_loop(job, mark_suspended, job, err);
}

int vm_suspend(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_SUSPEND };

	if (streq(who, VM_BY_IDLE))
		job.idle_s = (uint32_t)vm->row.idle_suspend_s;
	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit_verb(vm, "vm.suspend", run_suspend, &job, NULL, ret_op, err);
}
