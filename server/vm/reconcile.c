/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows say what was wanted and what was last known; here they are held against what is:
 * processes (pid and start time, pinned by a pidfd), folders of disks and of sockets. Every
 * difference is repaired or told.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/execs_internal.h"
#include "server/vm/identity.h"
#include "server/vm/network.h"
#include "server/vm/suspend.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/run_dir.h"

enum { QUIT_MS = 3000 };

/* The command line names the VM's id: one more proof beside pid and start time. */
static bool is_vmm_of(pid_t pid, const char *id)
{
	autofree char *cmdline = NULL;
	char path[64];
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	return read_file(path, 1 << 20, &cmdline, &len) == 0 &&
	       memmem(cmdline, len, id, ID_LEN) != NULL;
}

/* Of a home that was copied while its VMs ran: they are the other home's. */
static bool is_copied(const struct vm *vm)
{
	autoclose int dir = open_beneath(vm->vms->run_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);

	return dir >= 0 && run_pid_is_copy(dir);
}

bool vm_find_process(struct vm *vm, struct proc *ret_proc)
{
	if (vm->row.pid <= 0 || !is_vmm_of((pid_t)vm->row.pid, vm->row.id))
		return false;
	if (is_copied(vm)) {
		log_fields(LOG_WARN, "a VMM of the home that this one was copied from", "vm",
			   vm->row.id, NULL);
		return false;
	}
	return proc_adopt((pid_t)vm->row.pid, (uint64_t)vm->row.start_time, ret_proc) == 0;
}

/*
 * A VMM that was started but not yet written down, or one that captured a template when the server
 * ended: its sockets are where those of this id always are, and answer for as long as it lives.
 */
void vms_quit_unknown(const struct vms *vms, const char *id)
{
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)QUIT_MS * 1000,
				 .cancel_fd = -1 };
	struct vmm_config config = { .id = id };
	autofree char *run_dir = NULL;
	struct error err;

	if (faccessat(vms->run_fd, id, F_OK, 0) < 0)
		return;
	if (asprintf(&run_dir, "%s/vm/%s", vms->c.runtime_dir, id) < 0) {
		run_dir = NULL;
		return;
	}
	config.run_dir = run_dir;
	for (size_t i = 0; vmm_drivers[i]; i++) {
		int fd = vmm_drivers[i]->open_link(&config);

		if (fd < 0)
			continue;
		close_keep_errno(fd);
		if (vmm_drivers[i]->quit(&config, &wait, &err) == 0)
			log_fields(LOG_WARN, "ended a VMM that no VM owns", "id", id, NULL);
		else
			log_fields(LOG_ERROR, "a VMM that no VM owns does not end", "id", id,
				   "error", err.msg, NULL);
	}
}

void vm_adopt(struct vm *vm, struct proc *proc)
{
	const struct vmm_driver *driver = vmm_find(vm->row.vmm);
	struct error err;

	if (!driver || vm_attach(vm, driver, proc, &err) < 0) {
		log_fields(LOG_ERROR, "running VM can't be watched", "vm", vm->row.id, "error",
			   driver ? err.msg : "its driver is unknown", NULL);
		return;
	}
	log_fields(LOG_INFO, "VM adopted", "vm", vm->row.id, "name", vm->row.name, "state",
		   vm->row.state, NULL);
}

/*
 * A suspend that was complete but not written down: the VMM ended after its memory was kept. Or a
 * resume whose guest had not run yet.
 */
static bool was_suspended(const struct vm *vm)
{
	return (vm->state == VM_RUNNING || vm->state == VM_PAUSED || vm->state == VM_STARTING) &&
	       suspend_exists(vm);
}

/* What was under way is not any more. */
static const char *why_dead(const struct vm *vm, bool resumed)
{
	if (streq(vm->row.reason, vm_restoring_reason))
		return "the server ended while the VM went back to a snapshot: its disk is still "
		       "the one from before, or the snapshot's; restore it again, or start it as "
		       "it is";
	if (resumed)
		return "the server ended just when the guest went on from its suspended memory, "
		       "which can't be used twice; it boots from its disk";
	if (vm->state == VM_STARTING)
		return "the server ended while the VM was starting; start it again";
	if (vm->state == VM_STOPPING)
		return "the server ended while the VM was being stopped";
	return "the VM ended while the server was not running";
}

static void reconcile_dead(struct vm *vm)
{
	bool suspended = was_suspended(vm);
	bool resumed;

	vms_quit_unknown(vm->vms, vm->row.id);
	resumed = suspend_sweep(vm);
	vm_execs_detach(vm, suspended || vm->state == VM_SUSPENDED);
	if (suspended) {
		vm_detach(vm, VM_SUSPENDED, "", "server", NULL);
		vm_network_close_later(vm);
		return;
	}
	switch (vm->state) {
	case VM_STARTING:
	case VM_RUNNING:
	case VM_PAUSED:
	case VM_STOPPING:
		vm_detach(vm, VM_STOPPED, why_dead(vm, resumed), NULL, NULL);
		vm_network_close_later(vm);
		break;
	case VM_CREATED:
		if (streq(vm->row.desired, "running"))
			vm_set_state(vm, VM_FAILED, "stopped",
				     "the server ended while this VM was being created; start or "
				     "delete it",
				     NULL, NULL);
		vm_remove_run_dir(vm);
		break;
	case VM_SUSPENDED:
		if (!suspend_exists(vm))
			vm_set_state(vm, VM_STOPPED, "stopped",
				     "its suspended memory is gone; the disk is intact", NULL,
				     NULL);
		vm_remove_run_dir(vm);
		break;
	case VM_STOPPED:
	case VM_FAILED:
		if (streq(vm->row.reason, vm_restoring_reason))
			vm_set_state(vm, vm->state, "stopped", why_dead(vm, false), NULL, NULL);
		vm_remove_run_dir(vm);
		break;
	case VM_DELETING:
	case VM_STATE_MAX_:
		vm_remove_run_dir(vm);
		break;
	}
}

/*
 * A copy that the server left before it was a machine of its own: what has run as somebody else
 * goes, and the VM boots from its disk, to be given its identity then.
 */
static void end_stranger(struct vm *vm, struct proc *proc)
{
	log_fields(LOG_WARN, "ended a copy that had no identity yet", "vm", vm->row.id, "name",
		   vm->row.name, NULL);
	proc_kill(proc);
	reconcile_dead(vm);
}

static void take_up_again(struct vm *vm)
{
	struct error err = ERROR_INIT;
	struct op *op;
	int r = 0;

	if (vm->state == VM_DELETING)
		r = vm_delete(vm, "server", &op, &err);
	else if (vm->state == VM_STOPPING)
		r = vm_kill(vm, "server", &op, &err);
	else if (vm->state == VM_RUNNING)
		r = vm_hold_to_row(vm, &err);
	else if (vm->state == VM_STOPPED && streq(vm->row.desired, "running") &&
		 vm_is_stranger(vm->vms, vm->row.id))
		r = vm_start(vm, "server", &op, &err);
	if (r < 0)
		log_fields(LOG_ERROR, "interrupted verb not taken up", "vm", vm->row.id, "error",
			   err.msg, NULL);
	vm_arm_ttl(vm);
}

/* Folders that belong to no row: left by a crash between the folder and the row's removal. */
static void sweep_folders(struct vms *vms, int dir_fd)
{
	DIR *dir = dir_entries(dir_fd);
	const struct dirent *e;

	if (!dir)
		return;
	/* One DIR, one caller: what readdir(3) asks. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL) {
		if (!id_valid(e->d_name) || vms_find(vms, e->d_name))
			continue;
		log_fields(LOG_WARN, "removing a folder that belongs to no VM", "folder", e->d_name,
			   NULL);
		if (dir_fd == vms->run_fd)
			vms_quit_unknown(vms, e->d_name);
		(void)!remove_tree_at(dir_fd, e->d_name);
	}
	(void)closedir(dir);
}

int vms_reconcile(struct vms *vms, struct error *err)
{
	(void)err;
	for (struct vm *vm = vms->first; vm; vm = vm->next) {
		struct proc proc = PROC_INIT;

		if (!vm_find_process(vm, &proc)) {
			reconcile_dead(vm);
		} else if (vm->state == VM_STARTING && vm_is_stranger(vms, vm->row.id)) {
			end_stranger(vm, &proc);
		} else {
			/* Its guest goes on, away from the memory of a suspend that was broken off.
			 */
			suspend_discard(vm);
			vm_adopt(vm, &proc);
		}
		take_up_again(vm);
	}
	vms_network_start(vms);
	/* Sockets before disks: what still writes to a disk is ended first. */
	sweep_folders(vms, vms->run_fd);
	sweep_folders(vms, vms->vms_fd);
	return 0;
}
