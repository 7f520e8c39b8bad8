/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM and its process: what is watched while there is one, and the one clean-up path when it has
 * gone.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/execs_internal.h"
#include "server/vm/forward_internal.h"
#include "server/vm/identity.h"
#include "server/vm/last_words.h"
#include "server/vm/network.h"
#include "server/vm/probe.h"
#include "server/vm/stats.h"
#include "server/vm/user_net.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

static void wake(struct vm *vm)
{
	uint64_t one = 1;

	if (vm->wake_fd >= 0)
		(void)!write(vm->wake_fd, &one, sizeof(one));
}

static int open_link(void *data)
{
	struct vm *vm = data;

	return vm->driver->open_link(&vm->boot.config);
}

/* What an earlier server had started or woken up has all that it needs; it runs. */
static void on_refreshed(void *data, const json_t *reply, const struct error *err)
{
	struct vm *vm = data;

	(void)reply;
	/* Asked again when the link is back. */
	if (err && !(vm->guest && guest_is_up(vm->guest)))
		return;
	if (err)
		log_fields(LOG_WARN, "no new random numbers for an adopted guest", "vm", vm->row.id,
			   "error", err->msg, NULL);
	if (vm->wake_fd < 0 && vm->state == VM_STARTING)
		vm_set_state(vm, VM_RUNNING, NULL,
			     vm->degraded ? "the guest's root is not as asked; see its log" : "",
			     NULL, NULL);
}

static void on_up(void *data, const struct guest_info *info)
{
	struct vm *vm = data;
	struct error err;

	vm->agent_up = true;
	vm_forwards_serve(vm);
	vm->degraded = info->degraded;
	(void)snprintf(vm->row.boot_id, sizeof(vm->row.boot_id), "%s", info->boot_id);
	if (vms_set_process(vm->vms->c.store, &vm->row, &err) < 0) {
		vm->unsaved = true;
		log_fields(LOG_ERROR, "boot id not stored", "vm", vm->row.id, "error", err.msg,
			   NULL);
	}
	if (info->degraded)
		log_fields(LOG_WARN, "guest is degraded", "vm", vm->row.id, "problem",
			   info->problem, NULL);
	if (vm->wake_fd >= 0)
		wake(vm);
	else if (vm->state == VM_STARTING)
		vm_identify(vm, VM_ITSELF, "", on_refreshed, vm);
}

static void on_down(void *data, const struct error *why)
{
	struct vm *vm = data;

	log_fields(LOG_DEBUG, "guest link down", "vm", vm->row.id, "error", why->msg, NULL);
}

/* Wait status of our own child, -1 of an adopted process. */
static int reap(const struct proc *proc)
{
	int status = -1;

	if (proc_wait(proc, 0, -1, &status) < 0)
		status = -1;
	return status;
}

/* What came to the console since the process was attached; *ret_len is 0 where that is nothing. The
 * caller frees. */
static char *read_last_words(struct vm *vm, size_t *ret_len)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);
	size_t logged = vm->console ? console_drain(vm->console) : 0;
	char *log = NULL;
	size_t len = 0;

	console_free(vm->console);
	vm->console = NULL;
	*ret_len = 0;
	if (dir < 0 || console_read_log(dir, &log, &len) < 0)
		return NULL;
	*ret_len = logged < len ? logged : len;
	memmove(log, log + len - *ret_len, *ret_len);
	return log;
}

/*
 * Fills vm->end_reason; true when the guest ended as it should. An adopted process hides its status
 * (-1): only the console tells then.
 */
static bool explain_end(struct vm *vm, int status)
{
	size_t len = 0;
	autofree char *log = vm->being_ended && status != -1 ? NULL : read_last_words(vm, &len);
	bool clean = log && last_words_goodbye(log, len);
	const char *reason = "the guest powered off";
	char text[256] = "";
	char why[160];

	if (status != 0 && cgroup_ran_out(vm->vms->c.cgroup_dir, vm->row.id)) {
		clean = false;
		reason = "the kernel ended the monitor, which needed more memory than its limit";
	} else if (status > 0) {
		clean = false;
		reason = text;
		vm->driver->explain_exit(&vm->boot.config, status, text, sizeof(text));
	} else if (!clean && log && last_words_panic(log, len, why, sizeof(why))) {
		reason = text;
		(void)snprintf(text, sizeof(text), "the guest's kernel panicked: %s", why);
	} else if (log && !vm->asked_off && last_words_reboot(log, len)) {
		clean = true;
		reason = "the guest rebooted, and a VM ends with that: start it again";
	} else if (status == 0) {
		clean = true;
	} else if (!clean) {
		reason = "the monitor ended, and the guest had not powered off";
	}
	(void)snprintf(vm->end_reason, sizeof(vm->end_reason), "%s", reason);
	return clean;
}

static void on_exit_event(void *data, uint32_t events)
{
	struct vm *vm = data;
	bool clean;

	(void)events;
	loop_fd_remove(vm->exit_source);
	vm->exit_source = NULL;
	clean = explain_end(vm, reap(&vm->proc));
	vm->ended = true;
	if (vm->being_ended)
		return;
	if (vm->wake_fd >= 0)
		wake(vm);
	else if (vm->state == VM_RUNNING || vm->state == VM_PAUSED || vm->state == VM_STARTING ||
		 vm->state == VM_STOPPING) {
		vm_detach(vm, clean ? VM_STOPPED : VM_FAILED, vm->end_reason, NULL, NULL);
		vm_network_close_later(vm);
	}
}

static void open_console(struct vm *vm)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);
	int fd = vm->driver->open_console(&vm->boot.config);
	int r = fd;

	if (fd >= 0 && dir < 0)
		close_keep_errno(fd);
	else if (fd >= 0)
		r = console_new(vm->vms->c.loop, fd, take_fd(&dir), &vm->console);
	/* A VM without its console still serves; say why the log is empty. */
	if (r < 0)
		log_fields(LOG_WARN, "no console", "vm", vm->row.id, "error", strerrordesc_np(-r),
			   NULL);
}

int vm_attach(struct vm *vm, const struct vmm_driver *driver, struct proc *proc, struct error *err)
{
	static const struct guest_callbacks callbacks = { .open = open_link,
							  .up = on_up,
							  .down = on_down };
	struct loop *loop = vm->vms->c.loop;
	int r;

	vm->driver = driver;
	vm->proc = *proc;
	*proc = PROC_INIT;
	vm->being_ended = false;
	vm->ended = false;
	vm->limited = cgroup_holds(vm->proc.pid, vm->row.id);
	vm->told = 0;
	vm->asked_off = false;
	vm->doubt = VM_SURE;
	vm->agent_up = false;
	(void)snprintf(vm->row.vmm, sizeof(vm->row.vmm), "%s", driver->name);
	vm->row.pid = vm->proc.pid;
	vm->row.start_time = (int64_t)vm->proc.start_time;
	r = vms_set_process(vm->vms->c.store, &vm->row, err);
	if (r < 0)
		return r;
	r = loop_fd_add(loop, vm->proc.pidfd, EPOLLIN, on_exit_event, vm, &vm->exit_source);
	if (r == 0)
		r = guest_new(loop, &callbacks, vm, &vm->guest);
	if (r < 0)
		return error_errno(err, r, "watch VM '%s'", vm->row.name);
	open_console(vm);
	vm_user_net_watch(vm);
	vm_execs_attach(vm);
	vm_forwards_attach(vm);
	vm_touch(vm);
	vm_arm_idle(vm);
	vms_measure(vm->vms);
	return 0;
}

void vm_remove_run_dir(struct vm *vm)
{
	int r = remove_tree_at(vm->vms->run_fd, vm->row.id);

	if (r < 0)
		log_fields(LOG_WARN, "run folder not removed", "vm", vm->row.id, "error",
			   strerrordesc_np(-r), NULL);
}

void vm_detach(struct vm *vm, enum vm_state state, const char *reason, const char *by,
	       const char *op_id)
{
	struct guest *guest;
	struct error err;

	vm_probe_end(vm);
	vm_user_net_forget(vm);
	vm_execs_detach(vm, state == VM_SUSPENDED);
	vm_forwards_detach(vm);
	guest = vm->guest;
	vm->guest = NULL;
	guest_free(guest);
	console_free(vm->console);
	vm->console = NULL;
	loop_fd_remove(vm->exit_source);
	vm->exit_source = NULL;
	if (vm->proc.pidfd >= 0)
		(void)reap(&vm->proc);
	proc_done(&vm->proc);
	cgroup_remove(vm->vms->c.cgroup_dir, vm->row.id);
	vm_remove_run_dir(vm);
	vm->agent_up = false;
	vm->row.pid = 0;
	vm->row.start_time = 0;
	if (vms_set_process(vm->vms->c.store, &vm->row, &err) < 0) {
		vm->unsaved = true;
		log_fields(LOG_ERROR, "end of process not stored", "vm", vm->row.id, "error",
			   err.msg, NULL);
	}
	if (vm->state != state)
		vm_set_state(vm, state, state == VM_SUSPENDED ? "suspended" : NULL, reason, by,
			     op_id);
}
