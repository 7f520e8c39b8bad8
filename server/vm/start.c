/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a row to a guest whose agent answers. Everything up to the VMM leaves nothing behind when it
 * fails; from then on the VM stays, failed, with its console log for the diagnosis.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/proc/proc.h"
#include "server/vm/clock.h"
#include "server/vm/host_files.h"
#include "server/vm/identity.h"
#include "server/vm/network.h"
#include "server/vm/source.h"
#include "server/vm/standby.h"
#include "server/vm/suspend.h"
#include "server/vm/template.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

enum { BOOT_DEADLINE_MS = 180 * 1000, VMM_DEADLINE_MS = 30 * 1000, STANDBY_DEADLINE_MS = 5 * 1000 };

struct start {
	struct verb_job *job;
	struct op *op;
	struct vm_boot boot; /* built here, handed to the VM with the process */
	struct proc proc;
	char image_id[72];
	char kernel_id[72];
	uint64_t disk_mib;
	bool has_disk;   /* it ran before: a new disk would be somebody else's */
	char origin[80]; /* what its disk is a copy of; "": none, or the copy is there */
	bool stranger;   /* disk and memory are those of another machine */
	int wake_fd;
	bool attached;
	bool up;

	struct standby *standby; /* NULL: none, or it was of no use */
	struct source source;
	char boot_id[40];            /* of the copy; "" : it keeps the one it has */
	struct error identity_error; /* the loop's until wake_fd */
	bool identified;
	struct host_files host_files;
};

/* --- on the loop --- */

static int begin(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;
	const struct kernel_row *kernel =
		catalog_kernel_by_id(vm->vms->c.catalog, vm->row.kernel_id);
	int r;

	if (!vm->vms->c.driver)
		return error_set(
			err, ERR_UNAVAILABLE,
			"no virtual machine monitor can be used on this host; see: banger doctor");
	/* Others were admitted since this was; a VM that is being created counts already. */
	r = s->job->creating ? 0 : vm_admit(vm, err);
	if (r == 0)
		r = vm_boot_init(vm->vms, &vm->row, kernel ? kernel->cmdline : "", &s->boot, err);
	if (r < 0)
		return r;
	(void)snprintf(s->image_id, sizeof(s->image_id), "%s", vm->row.image_id);
	(void)snprintf(s->kernel_id, sizeof(s->kernel_id), "%s", vm->row.kernel_id);
	s->standby = TAKE_PTR(vm->standby);
	s->disk_mib = (uint64_t)vm->row.disk_mib;
	s->has_disk = vm->row.started_ms > 0;
	if (!s->has_disk && !s->job->creating)
		(void)snprintf(s->origin, sizeof(s->origin), "%s", vm->row.booted_from);
	r = source_choose(vm, s->job, &s->source, err);
	if (r < 0)
		return r;
	/* Its template went meanwhile. */
	if (s->source.kind != SOURCE_TEMPLATE)
		standby_free(TAKE_PTR(s->standby));
	vm->waking = s->source.kind == SOURCE_SUSPENDED;
	vm_set_state(vm, VM_STARTING, "running", "", s->job->who, op_id(s->op));
	return 0;
}

static int attach(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;

	vm_boot_done(&vm->boot);
	vm_boot_move(&vm->boot, &s->boot);
	vm_network_drop_tap(&vm->boot);
	vm->wake_fd = s->wake_fd;
	vm->row.started_ms = clock_wall_ms();
	vm->row.accel = vm->vms->c.accel;
	if (s->source.kind != SOURCE_SUSPENDED)
		(void)snprintf(vm->row.booted_from, sizeof(vm->row.booted_from), "%s",
			       s->source.id[0] ? s->source.id : "cold");
	s->attached = true;
	return vm_attach(vm, vm->vms->c.driver, &s->proc, err);
}

static int look(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;

	if (vm->ended)
		return error_set(err, ERR_GUEST, "the VM ended before its agent answered: %s",
				 vm->end_reason);
	s->up = vm->agent_up;
	return 0;
}

static void on_identity(void *data, const json_t *reply, const struct error *err)
{
	struct start *s = data;
	uint64_t one = 1;

	(void)reply;
	if (err)
		s->identity_error = *err;
	__atomic_store_n(&s->identified, true, __ATOMIC_RELEASE);
	(void)!write(s->wake_fd, &one, sizeof(one));
}

/* What has booted has read the time from a clock of whole seconds, or from none. */
static int set_clock(struct vm *vm, void *data, struct error *err)
{
	(void)data;
	(void)err;
	vm_clock_set(vm);
	return 0;
}

static int identify(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;

	if (!vm->guest)
		return error_set(err, ERR_GUEST, "the VM ended before it had its identity");
	/* What was booted has a boot id of its own. */
	if (s->stranger && s->source.with_memory)
		vm_boot_id_new(s->boot_id);
	vm_identify(vm,
		    !s->stranger ? VM_ITSELF
		    : s->standby ? VM_STRANGER_WITH_KEYS
				 : VM_STRANGER,
		    s->boot_id, on_identity, s);
	return 0;
}

/* The next VM of this shape shall be quicker. That it can't be is no reason to fail this one. */
static void prepare_next(struct vm *vm, struct start *s)
{
	struct templates *templates = vm->vms->c.templates;
	const struct template *one = s->source.kind == SOURCE_TEMPLATE && templates
					     ? templates_find(templates, s->source.id)
					     : NULL;
	struct error err;
	struct op *op;

	if (one)
		standby_want(templates_standbys(templates), one);
	if (!s->job->creating || s->job->boot != BOOT_AUTO || s->source.kind != SOURCE_NONE ||
	    !vm->vms->c.templates || vm->degraded)
		return;
	if (templates_build(vm->vms->c.templates, &vm->row, false, s->job->who, &op, &err) < 0)
		log_fields(LOG_WARN, "no template", "vm", vm->row.id, "error", err.msg, NULL);
}

/* The start ends here: its last stage too, though the operation goes on for a moment. */
static void end_last_stage(json_t *op)
{
	const json_t *stages = json_object_get(op, "stages");
	json_t *last = json_array_get(stages, json_array_size(stages) - 1);
	double total = json_number_value(json_object_get(op, "duration_ms"));
	double begun = json_number_value(json_object_get(last, "start_ms"));

	if (last && !json_object_get(last, "duration_ms") && total >= begun)
		(void)json_object_set_new(last, "duration_ms", json_real(total - begun));
}

static int finish(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;
	json_t *o = op_to_json(s->op);

	(void)err;
	vm->wake_fd = -1;
	vm->waking = false;
	end_last_stage(o);
	json_decref(vm->stages);
	vm->stages = json_incref(json_object_get(o, "stages"));
	json_decref(o);
	vm_touch(vm);
	if (s->boot_id[0]) {
		memcpy(vm->row.boot_id, s->boot_id, sizeof(vm->row.boot_id));
		vm->unsaved = true; /* goes with the state */
	}
	prepare_next(vm, s);
	vm_set_state(vm, VM_RUNNING, NULL,
		     vm->degraded ? "the guest's root is not as asked; see its log" : "",
		     s->job->who, op_id(s->op));
	return 0;
}

static int give_up(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;
	bool cancelled = err->code == ERR_CANCELLED;
	const char *why = cancelled ? "its start was cancelled" : err->msg;

	vm->wake_fd = -1;
	vm->waking = false;
	if (!s->attached && s->job->creating) {
		struct error ignored;

		if (vms_delete(vm->vms->c.store, vm->row.id, &ignored) < 0) {
			vm_delete_later(vm, s->job->who, op_id(s->op), &ignored);
			return 0;
		}
		events_emit(vm->vms->c.events, &(struct event){ .kind = "vm.deleted",
								.target = vm->row.id,
								.target_name = vm->row.name,
								.by = s->job->who,
								.operation = op_id(s->op) });
		vm_free(vm);
		return 0;
	}
	/* Who cancels a start does not want it to run. */
	if (cancelled)
		(void)snprintf(vm->row.desired, sizeof(vm->row.desired), "stopped");
	if (s->attached)
		vm_detach(vm, cancelled ? VM_STOPPED : VM_FAILED, why, s->job->who, op_id(s->op));
	else if (vm->state == VM_STARTING && s->source.kind == SOURCE_SUSPENDED &&
		 suspend_exists(vm))
		vm_set_state(vm, VM_SUSPENDED, "suspended", why, s->job->who, op_id(s->op));
	else if (vm->state == VM_STARTING)
		vm_set_state(vm, cancelled ? VM_STOPPED : VM_FAILED, "stopped", why, s->job->who,
			     op_id(s->op));
	return 0;
}

/* --- on the worker --- */

static int make_folders(struct start *s, struct error *err)
{
	autoclose int dir = open_dir_create(s->boot.dir, 0700);
	autoclose int run = -1;
	int r;

	if (dir < 0)
		return error_errno(err, dir, "make %s", s->boot.dir);
	(void)!remove_tree_at(s->job->vms->run_fd, s->job->id);
	run = open_dir_create(s->boot.run_dir, 0700);
	if (run < 0)
		return error_errno(err, run, "make %s", s->boot.run_dir);
	if (faccessat(dir, "work.ext4", F_OK, 0) == 0)
		return 0;
	if (s->has_disk)
		return error_set(err, ERR_STATE,
				 "its disk %s is gone; put it back, or delete the VM",
				 s->boot.work);
	if (s->origin[0])
		return error_set(err, ERR_STATE,
				 "its disk was never made: the server ended before it was copied "
				 "from %s; delete the VM, and create it again",
				 s->origin);
	if (s->source.kind == SOURCE_TEMPLATE || s->source.kind == SOURCE_SNAPSHOT) {
		r = s->source.kind == SOURCE_TEMPLATE || s->job->own_identity
			    ? vm_mark_stranger(dir)
			    : 0;
		return r < 0 ? error_errno(err, r, "mark %s", s->boot.dir)
			     : source_copy_disk(&s->source, s->boot.work, err);
	}
	return disk_create(s->job->vms->c.cache_dir, s->boot.work, s->disk_mib, op_cancel_fd(s->op),
			   err);
}

/* Until the loop has something to tell, the operation is cancelled or the time is over. */
static int wait_for_news(struct start *s, int64_t deadline_us, const char *what, struct error *err)
{
	struct pollfd p[2] = { { .fd = s->wake_fd, .events = POLLIN },
			       { .fd = op_cancel_fd(s->op), .events = POLLIN } };
	int64_t left = (deadline_us - clock_mono_us()) / 1000;
	uint64_t n;

	if (left <= 0)
		return error_set(err, ERR_TIMEOUT, "%s took too long; see the VM's log", what);
	if (poll(p, 2, (int)left) < 0 && errno != EINTR)
		return error_errno(err, -errno, "%s", what);
	if (p[0].revents & POLLIN)
		(void)!read(s->wake_fd, &n, sizeof(n));
	return op_check(s->op, err);
}

static int wait_for_agent(struct start *s, struct error *err)
{
	int64_t deadline = clock_mono_us() + (int64_t)BOOT_DEADLINE_MS * 1000;
	int r = 0;

	while (r == 0 && !s->up) {
		r = wait_for_news(s, deadline, "the boot", err);
		if (r == 0)
			r = vm_on_loop(s->job, look, s, err);
	}
	return r;
}

static int wait_for_identity(struct start *s, struct error *err)
{
	int64_t deadline = clock_mono_us() + (int64_t)VM_IDENTITY_MS * 1000;
	int r = vm_on_loop(s->job, identify, s, err);

	while (r == 0 && !__atomic_load_n(&s->identified, __ATOMIC_ACQUIRE)) {
		r = wait_for_news(s, deadline, "the clone's identity", err);
		if (r == 0)
			r = vm_on_loop(s->job, look, s, err);
	}
	if (r < 0)
		return r;
	if (s->identity_error.code != ERR_NONE) {
		*err = s->identity_error;
		return error_wrap(err, "the clone's identity");
	}
	return s->stranger ? vm_stranger_no_more(s->job, err) : 0;
}

/* From here on the guest's disk moves away from a suspended memory: it must not be used twice. */
static int use_up(void *data, struct error *err)
{
	struct start *s = data;

	return suspend_begin_resume(s->job, err);
}

static int restore(struct start *s, const struct vmm_wait *wait, struct error *err)
{
	bool suspended = s->source.kind == SOURCE_SUSPENDED;
	const struct vmm_hook before_run = { .fn = use_up, .data = s };
	int r;

	op_stage(s->op, "restore");
	r = s->job->vms->c.driver->restore(&s->boot.config, s->source.fd,
					   suspended ? &before_run : NULL, wait, &s->proc, err);
	if (suspended)
		suspend_end_resume(s->job, r == 0 || r == -EUCLEAN);
	return r;
}

static struct vmm_wait vmm_wait(const struct start *s, int timeout_ms)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000,
				  .cancel_fd = op_cancel_fd(s->op) };
}

static int open_network(struct start *s, struct error *err)
{
	if (s->boot.config.net.mode != VMM_NET_TAP)
		return 0;
	op_stage(s->op, "network");
	return vm_network_open(s->job, &s->boot, err);
}

/* One that is of no use ends, and the start goes the longer way. */
static int wake_standby(struct start *s, struct error *err)
{
	struct vmm_wait wait = vmm_wait(s, STANDBY_DEADLINE_MS);
	int r = open_network(s, err);

	if (r < 0)
		return r;
	op_stage(s->op, "resume");
	r = standby_wake(s->standby, &s->boot.config, &wait, &s->proc, err);
	if (r == 0 || op_check(s->op, err) < 0) {
		s->stranger = true;
		return r;
	}
	log_fields(LOG_WARN, "not started from the VM that was kept ready", "vm", s->job->id,
		   "error", err->msg, NULL);
	vm_network_drop_tap(&s->boot);
	standby_free(TAKE_PTR(s->standby));
	*err = ERROR_INIT;
	return 0;
}

static int launch(struct start *s, struct error *err)
{
	struct vmm_wait wait = vmm_wait(s, VMM_DEADLINE_MS);
	int r;

	r = vm_limit(s->job->vms, s->job->id, &s->boot, err);
	if (r < 0)
		return r;
	/* A crash from here on must not find memory that is not this start's own. */
	if (s->source.kind != SOURCE_SUSPENDED)
		suspend_forget(s->job);
	if (s->source.with_memory) {
		r = restore(s, &wait, err);
	} else {
		op_stage(s->op, "vmm");
		r = s->job->vms->c.driver->start(&s->boot.config, &wait, &s->proc, err);
	}
	return r;
}

/* Everything up to a VMM. */
static int build_up(struct start *s, struct error *err)
{
	int r = s->source.kind != SOURCE_NONE ? source_check(s->op, s->job, &s->source, err) : 0;

	if (r == 0)
		r = vm_boot_mend(s->job->vms, s->image_id, s->kernel_id, s->op, err);
	if (r < 0)
		return r;
	if (!s->source.with_memory) {
		op_stage(s->op, "initramfs");
		r = kernel_initramfs(s->job->vms->c.paths, s->kernel_id, &s->boot.initrd, err);
		if (r < 0)
			return r;
		s->boot.config.initrd = s->boot.initrd;
	}
	op_stage(s->op, "disk");
	r = make_folders(s, err);
	s->stranger = r == 0 && vm_is_stranger(s->job->vms, s->job->id);
	if (r == 0)
		r = op_check(s->op, err);
	if (r == 0)
		r = open_network(s, err);
	return r < 0 ? r : launch(s, err);
}

static int steps(struct start *s, struct error *err)
{
	int r;

	op_stage(s->op, "prepare");
	r = vm_on_loop(s->job, begin, s, err);
	if (r == 0 && s->standby)
		r = wake_standby(s, err);
	if (r == 0 && !s->standby)
		r = build_up(s, err);
	if (r == 0)
		r = vm_on_loop(s->job, attach, s, err);
	if (r < 0)
		return r;
	op_stage(s->op, s->source.with_memory ? "wake" : "boot");
	/* What was suspended goes on as it was. */
	if (s->source.kind != SOURCE_SUSPENDED)
		r = vm_read_host_files(s->job, &s->host_files, err);
	if (r == 0)
		r = wait_for_agent(s, err);
	if (r == 0 && (s->source.with_memory || s->stranger)) {
		op_stage(s->op, "identity");
		r = wait_for_identity(s, err);
	} else if (r == 0) {
		r = vm_on_loop(s->job, set_clock, NULL, err);
	}
	s->host_files.wake_fd = s->wake_fd;
	if (r == 0)
		r = vm_give_host_files(s->op, s->job, &s->host_files, err);
	return r < 0 ? r : vm_on_loop(s->job, finish, s, err);
}

/* The process must be gone before its folder goes. */
static void kill_what_runs(struct start *s)
{
	struct error ignored;

	if (s->attached)
		(void)!vm_end_process(s->op, s->job, 0, VM_STATE_MAX_, NULL, &ignored);
	proc_kill(&s->proc);
	if (!s->attached)
		cgroup_remove(s->job->vms->c.cgroup_dir, s->job->id);
	if (!s->attached && vm_network_close(s->job, &ignored) < 0)
		log_fields(LOG_WARN, "network not taken away", "vm", s->job->id, "error",
			   ignored.msg, NULL);
}

static void start_done(struct start *s)
{
	vm_boot_done(&s->boot);
	standby_free(s->standby);
	close_keep_errno(s->wake_fd);
	source_done(&s->source);
	host_files_done(&s->host_files);
}

int vm_run_start(struct op *op, void *data, struct error *err)
{
	struct start s CLEANUP(start_done) = { .job = data,
					       .op = op,
					       .proc = PROC_INIT,
					       .wake_fd = -1,
					       .source = SOURCE_INIT,
					       .host_files = HOST_FILES_INIT };
	bool creating = s.job->creating;
	int r;

	s.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s.wake_fd < 0 ? error_errno(err, -errno, "eventfd") : steps(&s, err);
	if (r == 0)
		return 0;
	kill_what_runs(&s);
	if (!s.attached) {
		(void)!remove_tree_at(s.job->vms->run_fd, s.job->id);
		if (creating)
			(void)!remove_tree_at(s.job->vms->vms_fd, s.job->id);
	}
	(void)!vm_on_loop(s.job, give_up, &s, err);
	return r;
}

int vm_start(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_START };
	int r = vm_state_allows(vm->state, VM_VERB_START, vm->row.name, err);

	if (r == 0 && streq(vm->row.network, "bridge"))
		r = vm_network_check(vm->vms, err);
	if (r == 0)
		r = vm_admit(vm, err);
	if (r < 0)
		return r;
	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit_verb(vm, "vm.start", vm_run_start, &job, NULL, ret_op, err);
}

bool vm_sleeps(const struct vm *vm)
{
	return vm->state == VM_SUSPENDED || vm->waking;
}

int vm_wake(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	if (vm->op && !op_ended(vm->op) && streq(op_kind(vm->op), "vm.start")) {
		*ret_op = vm->op;
		return 0;
	}
	return vm_start(vm, who, ret_op, err);
}
