/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is recorded of VMs against what is there, every so often while the server runs. Most of it
 * is told by events of its own (a process that ends, a write that fails) the moment it happens;
 * this finds what slipped through, and what somebody else did to the folders. Nothing here blocks:
 * what may take long is an operation on the VM's own queue. A VM that has an operation is left to
 * it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/network.h"
#include "server/vm/probe.h"
#include "server/vm/suspend.h"
#include "server/vm/user_net.h"
#include "server/vmm/run_dir.h"

enum { SOON_US = 500 * 1000 };

void vm_tell(struct vm *vm, const char *found, const char *done)
{
	log_fields(LOG_WARN, "VM was not as recorded", "vm", vm->row.id, "found", found, "done",
		   done, NULL);
	events_emit(vm->vms->c.events, &(struct event){ .kind = "vm.reconciled",
							.target = vm->row.id,
							.target_name = vm->row.name,
							.data = json_pack("{s:s, s:s}", "found",
									  found, "done", done) });
}

bool vm_tell_once(struct vm *vm, unsigned int what, bool is, const char *found, const char *done)
{
	bool begins = is && !(vm->told & what);

	vm->told = is ? vm->told | what : vm->told & ~what;
	if (begins)
		vm_tell(vm, found, done);
	return begins;
}

/* What did not help is done again at the second check after that, the fourth, the eighth. */
static bool is_turn(struct vm *vm)
{
	vm->tries++;
	return (vm->tries & (vm->tries - 1)) == 0;
}

static bool has_ended(const struct vm *vm)
{
	struct pollfd p = { .fd = vm->proc.pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static bool in_vm_folder(const struct vm *vm, const char *name)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);

	return dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_run_dir(const struct vm *vm)
{
	return faccessat(vm->vms->run_fd, vm->row.id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int run_clean(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	int r;

	op_stage(op, "vmm");
	vms_quit_unknown(job->vms, job->id);
	op_stage(op, "clean-up");
	r = remove_tree_at(job->vms->run_fd, job->id);
	return r < 0 ? error_errno(err, r, "remove the sockets of VM %s", job->id) : 0;
}

static void clean_run_dir(struct vm *vm)
{
	struct verb_job job = { .who = "server" };
	struct error err;
	struct op *op;

	bool is = has_run_dir(vm);

	(void)vm_tell_once(vm, VM_TOLD_REST, is, "sockets of a VMM that should not be there",
			   "they are removed");
	if (!is) {
		vm->tries = 0;
		return;
	}
	if (is_turn(vm) && vm_submit(vm, "vm.clean", run_clean, &job, &op, &err) < 0)
		log_fields(LOG_ERROR, "not cleaned up", "vm", vm->row.id, "error", err.msg, NULL);
}

/* Without a process although its state asks for one. */
static void check_lost(struct vm *vm)
{
	struct proc proc = PROC_INIT;

	if (vm_find_process(vm, &proc)) {
		(void)vm_tell_once(vm, VM_TOLD_LOST, true, "a VMM that nobody watched",
				   "it is watched again");
		vm_adopt(vm, &proc);
		return;
	}
	vm_tell(vm, "its VMM is gone", "the VM is stopped");
	vm_detach(vm, VM_STOPPED, "its VMM was gone", NULL, NULL);
	vm_network_close_later(vm);
}

static bool has_link(const struct vm *vm)
{
	char path[ID_LEN + 32];

	(void)snprintf(path, sizeof(path), "%s/" RUN_LINK_SOCK, vm->row.id);
	return faccessat(vm->vms->run_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What it runs with; only a new process makes new sockets. */
static void check_files(struct vm *vm)
{
	bool folder = has_run_dir(vm);
	char done[400];

	(void)vm_tell_once(vm, VM_TOLD_FOLDER, !folder, "the folder of its sockets is gone",
			   "nothing; what runs goes on, but restart the VM, which makes a new one: "
			   "without it the VM can't be paused, snapshot or suspended, and a server "
			   "that restarts can't reach its agent");
	(void)vm_tell_once(
		vm, VM_TOLD_LINK, folder && !has_link(vm), "the socket of its agent is gone",
		"nothing; what runs goes on, but restart the VM, which makes a new one: a "
		"server that restarts can't reach its agent");
	(void)snprintf(done, sizeof(done),
		       "nothing; the guest goes on with the file that its VMM has open: put that "
		       "back to %.200s, or pause the VM and copy it from /proc/%lld/fd, before the "
		       "VM ends",
		       vm->boot.work, (long long)vm->row.pid);
	(void)vm_tell_once(vm, VM_TOLD_DISK, !in_vm_folder(vm, "work.ext4"), "its disk is gone",
			   done);
	if (folder)
		vm_probe(vm);
}

static void check_process(struct vm *vm)
{
	if (vm->proc.pidfd < 0) {
		check_lost(vm);
	} else if (!vm->exit_source && has_ended(vm)) {
		vm_tell(vm, "its VMM has ended unnoticed", "the VM is stopped");
		vm_detach(vm, VM_STOPPED, vm->end_reason[0] ? vm->end_reason : "its VMM has ended",
			  NULL, NULL);
		vm_network_close_later(vm);
	} else if (vm->state == VM_RUNNING || vm->state == VM_PAUSED) {
		check_files(vm);
		if (vm->net_ended && is_turn(vm))
			vm_user_net_renew(vm);
	}
}

void vm_settle(struct vm *vm)
{
	struct error err;

	vm->doubt = VM_TOLD_AGAIN;
	vm_tell(vm, "a monitor that did not say whether the guest runs", "it is told again");
	if (vm_hold_to_row(vm, &err) < 0)
		log_fields(LOG_ERROR, "not told", "vm", vm->row.id, "error", err.msg, NULL);
}

static void check_at_rest(struct vm *vm)
{
	struct error err;
	struct op *op;

	if (vm->state == VM_DELETING) {
		(void)vm_tell_once(vm, VM_TOLD_REST, true, "its deletion was not finished",
				   "it is deleted");
		if (is_turn(vm) && vm_delete(vm, "server", &op, &err) < 0)
			log_fields(LOG_ERROR, "not deleted", "vm", vm->row.id, "error", err.msg,
				   NULL);
		return;
	}
	if (vm->state == VM_SUSPENDED && !suspend_exists(vm)) {
		vm_tell(vm, "its suspended memory is gone", "the VM is stopped");
		vm_set_state(vm, VM_STOPPED, "stopped",
			     "its suspended memory is gone; the disk is intact", NULL, NULL);
	}
	if (vm->row.started_ms && vm->state != VM_FAILED && !in_vm_folder(vm, "work.ext4")) {
		vm_tell(vm, "its disk is gone", "the VM is marked as failed");
		vm_set_state(vm, VM_FAILED, "stopped", "its disk is gone", NULL, NULL);
	}
	clean_run_dir(vm);
}

static void check_one(struct vm *vm)
{
	if (vm->unsaved)
		vm_save(vm);
	if (vm->op && !op_ended(vm->op))
		return;
	switch (vm->state) {
	case VM_STARTING:
	case VM_RUNNING:
	case VM_PAUSED:
	case VM_STOPPING:
		check_process(vm);
		break;
	case VM_CREATED:
	case VM_STOPPED:
	case VM_SUSPENDED:
	case VM_FAILED:
	case VM_DELETING:
	case VM_STATE_MAX_:
		check_at_rest(vm);
		break;
	}
}

static void on_check(void *data)
{
	struct vms *vms = data;
	bool soon = false;

	store_keep_reserve(vms->c.store);
	for (struct vm *vm = vms->first; vm; vm = vm->next) {
		check_one(vm);
		/* It still has an operation. */
		soon |= vm->doubt == VM_UNSURE;
		/* The wall clock may have been set, or the host have slept, since the timer was. */
		vm_arm_ttl(vm);
	}
	loop_timer_set(vms->check_timer, soon ? SOON_US : (int64_t)vms->c.check_s * 1000000);
}

/* Before the checks begin: the first one does. */
void vms_check_soon(struct vms *vms)
{
	if (vms->check_timer)
		loop_timer_set(vms->check_timer, SOON_US);
}

int vms_check_begin(struct vms *vms, struct error *err)
{
	int r = loop_timer_new(vms->c.loop, on_check, vms, &vms->check_timer);

	if (r < 0)
		return error_errno(err, r, "timer");
	loop_timer_set(vms->check_timer, vms->first ? SOON_US : (int64_t)vms->c.check_s * 1000000);
	return 0;
}
