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
#include "server/vm/snapshot.h"
#include "server/vm/suspend.h"
#include "server/vm/template.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

enum { BOOT_DEADLINE_MS = 180 * 1000, VMM_DEADLINE_MS = 30 * 1000 };

/* What a start begins with. Only a template and a snapshot bring a disk. */
enum source { SOURCE_NONE, SOURCE_TEMPLATE, SOURCE_SNAPSHOT, SOURCE_SUSPENDED };

struct start {
	struct verb_job *job;
	struct op *op;
	struct vm_boot boot; /* built here, handed to the VM with the process */
	struct proc proc;
	char image_id[72];
	char kernel_id[72];
	uint64_t disk_mib;
	bool has_disk; /* it ran before: a new disk would be somebody else's */
	bool stranger; /* disk and memory are those of another machine */
	int wake_fd;
	bool attached;
	bool up;

	enum source source;
	char source_id[TEMPLATE_KEY_LEN + 1]; /* template key or snapshot id */
	int source_fd;                        /* the folder; -1: none */
	bool with_memory;                     /* of the source: restored, not booted */
	struct made made;                     /* of the source */
	bool verified;
	char boot_id[40];            /* of the copy; "" : it keeps the one it has */
	struct error identity_error; /* the loop's until wake_fd */
	bool identified;
	struct host_files host_files;
};

/* --- on the loop --- */

/* A template stands for a first boot only: later ones have a disk of their own. */
static int choose_template(struct vm *vm, struct start *s, struct error *err)
{
	struct templates *templates = vm->vms->c.templates;
	char key[TEMPLATE_KEY_LEN + 1];
	const struct template *one;

	if (!s->job->creating || s->job->boot == BOOT_COLD || !templates)
		return 0;
	templates_key(templates, &vm->row, key);
	one = templates_find(templates, key);
	if (one)
		s->source_fd = templates_open(templates, key);
	if (s->source_fd >= 0) {
		s->made = one->made;
		s->verified = one->verified;
		s->source = SOURCE_TEMPLATE;
		s->with_memory = true;
		(void)snprintf(s->source_id, sizeof(s->source_id), "%s", key);
		templates_used(templates, key);
	} else if (s->job->boot == BOOT_TEMPLATE) {
		return error_set(err, ERR_UNAVAILABLE,
				 "there is no template of this shape yet; create one VM with boot "
				 "'auto' and wait for "
				 "operation template.build");
	}
	return 0;
}

/* The operation holds it. */
static void choose_snapshot(struct vm *vm, struct start *s)
{
	const struct snapshot *one = snapshots_held(vm->vms->c.snapshots, s->job->snapshot);

	s->source_fd = one ? snapshots_open(vm->vms->c.snapshots, one->id) : -ENOENT;
	if (s->source_fd < 0)
		return;
	s->source = SOURCE_SNAPSHOT;
	s->with_memory = s->job->memory;
	s->made = one->made;
	s->verified = one->verified;
	/* A fork comes from its parent: the capture between them has no name and goes. */
	(void)snprintf(s->source_id, sizeof(s->source_id), "%s",
		       one->dropped && s->job->creating ? one->vm_id : one->id);
}

static int choose_source(struct vm *vm, struct start *s, struct error *err)
{
	if (s->job->snapshot[0]) {
		choose_snapshot(vm, s);
	} else if (vm->state == VM_SUSPENDED) {
		s->source = SOURCE_SUSPENDED;
		s->with_memory = true;
		s->source_fd = suspend_open(vm);
		if (s->source_fd >= 0 && suspend_look(s->source_fd, &s->made, err) < 0)
			return error_to_errno(err);
		if (s->source_fd >= 0 &&
		    made_fits(vm->vms, &s->made, "the suspended memory", err) < 0)
			return error_wrap(err, "VM '%s' can't go on; kill it to boot from its disk",
					  vm->row.name);
	} else {
		return choose_template(vm, s, err);
	}
	if (s->source_fd < 0)
		return error_errno(err, s->source_fd, "open what VM '%s' starts from",
				   vm->row.name);
	return 0;
}

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
	s->disk_mib = (uint64_t)vm->row.disk_mib;
	s->has_disk = vm->row.started_ms > 0;
	r = choose_source(vm, s, err);
	if (r < 0)
		return r;
	vm->waking = s->source == SOURCE_SUSPENDED;
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
	if (s->source != SOURCE_SUSPENDED)
		(void)snprintf(vm->row.booted_from, sizeof(vm->row.booted_from), "%s",
			       s->source_id[0] ? s->source_id : "cold");
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
	if (s->stranger && s->with_memory)
		vm_boot_id_new(s->boot_id);
	vm_identify(vm, s->stranger, s->boot_id, on_identity, s);
	return 0;
}

/* The next VM of this shape shall be quicker. That it can't be is no reason to fail this one. */
static void build_template(struct vm *vm, struct start *s)
{
	struct error err;
	struct op *op;

	if (!s->job->creating || s->job->boot != BOOT_AUTO || s->source != SOURCE_NONE ||
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
	build_template(vm, s);
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
	else if (vm->state == VM_STARTING && s->source == SOURCE_SUSPENDED && suspend_exists(vm))
		vm_set_state(vm, VM_SUSPENDED, "suspended", why, s->job->who, op_id(s->op));
	else if (vm->state == VM_STARTING)
		vm_set_state(vm, cancelled ? VM_STOPPED : VM_FAILED, "stopped", why, s->job->who,
			     op_id(s->op));
	return 0;
}

/* --- on the worker --- */

static int copy_source_disk(struct start *s, struct error *err)
{
	autoclose int from = open_regular_beneath(s->source_fd, "work.ext4", O_RDONLY, 0);

	if (from < 0)
		return error_errno(err, from, "open the disk to copy");
	return disk_copy(from, s->boot.work, err);
}

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
	if (s->source == SOURCE_TEMPLATE || s->source == SOURCE_SNAPSHOT) {
		r = s->source == SOURCE_TEMPLATE || s->job->own_identity ? vm_mark_stranger(dir)
									 : 0;
		return r < 0 ? error_errno(err, r, "mark %s", s->boot.dir)
			     : copy_source_disk(s, err);
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

static int mark_verified(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;
	struct snapshot *snapshot = snapshots_held(vm->vms->c.snapshots, s->job->snapshot);

	(void)err;
	if (s->source == SOURCE_TEMPLATE)
		templates_verified(vm->vms->c.templates, s->source_id);
	else if (s->source == SOURCE_SNAPSHOT && snapshot)
		snapshot->verified = true;
	return 0;
}

/* A template can be made again, so a damaged one goes. */
static int drop_template(struct vm *vm, void *data, struct error *err)
{
	struct start *s = data;
	struct error ignored;

	log_fields(LOG_ERROR, "a damaged template is removed", "template", s->source_id, "error",
		   err->msg, NULL);
	(void)!templates_delete(vm->vms->c.templates, s->source_id, "server", &ignored);
	return 0;
}

/*
 * Whole at its first use since the server's start; after that what is small and read anew each
 * time. Without its template a VM that does not insist on it boots.
 */
static int check_source(struct start *s, struct error *err)
{
	unsigned int parts = s->verified ? MADE_STATE : MADE_ALL;
	int r;

	if (s->source == SOURCE_SUSPENDED)
		parts = MADE_STATE | MADE_MEMORY;
	if (!s->with_memory && s->made.state_sha256[0])
		parts &= MADE_DISK;
	op_stage(s->op, "check");
	r = made_check(s->source_fd, &s->made, parts, err);
	if (r == 0)
		return parts != MADE_ALL ? 0 : vm_on_loop(s->job, mark_verified, s, err);
	if (s->source == SOURCE_SUSPENDED)
		return error_wrap(err, "the VM can't go on; kill it to boot from its disk");
	if (s->source != SOURCE_TEMPLATE)
		return r;
	(void)!vm_on_loop(s->job, drop_template, s, err);
	if (s->job->boot == BOOT_TEMPLATE)
		return r;
	*err = ERROR_INIT;
	s->source = SOURCE_NONE;
	s->source_id[0] = '\0';
	s->with_memory = false;
	return 0;
}

/* From here on the guest's disk moves away from a suspended memory: it must not be used twice. */
static int use_up(void *data, struct error *err)
{
	struct start *s = data;

	return suspend_begin_resume(s->job, err);
}

static int restore(struct start *s, const struct vmm_wait *wait, struct error *err)
{
	bool suspended = s->source == SOURCE_SUSPENDED;
	const struct vmm_hook before_run = { .fn = use_up, .data = s };
	int r;

	op_stage(s->op, "restore");
	r = s->job->vms->c.driver->restore(&s->boot.config, s->source_fd,
					   suspended ? &before_run : NULL, wait, &s->proc, err);
	if (suspended)
		suspend_end_resume(s->job, r == 0 || r == -EUCLEAN);
	return r;
}

/* The helper sees to those of its jails. */
static int limit(struct start *s, struct error *err)
{
	struct vmm_config *c = &s->boot.config;
	const struct cgroup_limits limits =
		cgroup_limits_of(c->vcpus, c->memory_mib, c->accel == VMM_ACCEL_TCG);
	const char *dir = s->job->vms->c.cgroup_dir;
	int r;

	if (!dir || c->jail)
		return 0;
	r = cgroup_create(dir, s->job->id, &limits, &s->boot.cgroup_procs, err);
	c->cgroup_procs = s->boot.cgroup_procs;
	return r < 0 ? error_wrap(err, "limits of the VM") : 0;
}

static int launch(struct start *s, struct error *err)
{
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)VMM_DEADLINE_MS * 1000,
				 .cancel_fd = op_cancel_fd(s->op) };
	int r;

	r = limit(s, err);
	if (r < 0)
		return r;
	/* A crash from here on must not find memory that is not this start's own. */
	if (s->source != SOURCE_SUSPENDED)
		suspend_forget(s->job);
	if (s->with_memory) {
		r = restore(s, &wait, err);
	} else {
		op_stage(s->op, "vmm");
		r = s->job->vms->c.driver->start(&s->boot.config, &wait, &s->proc, err);
	}
	return r < 0 ? r : vm_on_loop(s->job, attach, s, err);
}

static int steps(struct start *s, struct error *err)
{
	int r;

	op_stage(s->op, "prepare");
	r = vm_on_loop(s->job, begin, s, err);
	if (r == 0 && s->source != SOURCE_NONE)
		r = check_source(s, err);
	if (r == 0)
		r = vm_boot_mend(s->job->vms, s->image_id, s->kernel_id, s->op, err);
	if (r < 0)
		return r;
	if (!s->with_memory) {
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
	if (r == 0 && s->boot.config.net.mode == VMM_NET_TAP) {
		op_stage(s->op, "network");
		r = vm_network_open(s->job, &s->boot, err);
	}
	if (r == 0)
		r = launch(s, err);
	if (r < 0)
		return r;
	op_stage(s->op, s->with_memory ? "wake" : "boot");
	/* What was suspended goes on as it was. */
	if (s->source != SOURCE_SUSPENDED)
		r = vm_read_host_files(s->job, &s->host_files, err);
	if (r == 0)
		r = wait_for_agent(s, err);
	if (r == 0 && (s->with_memory || s->stranger)) {
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
	close_keep_errno(s->wake_fd);
	close_keep_errno(s->source_fd);
	host_files_done(&s->host_files);
}

int vm_run_start(struct op *op, void *data, struct error *err)
{
	struct start s CLEANUP(start_done) = { .job = data,
					       .op = op,
					       .proc = PROC_INIT,
					       .wake_fd = -1,
					       .source_fd = -1,
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
