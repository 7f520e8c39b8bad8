/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that ends a VM's process: stop, kill, restart, delete. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/network.h"
#include "server/vm/suspend.h"
#include "server/vm/vm_internal.h"

enum { POLITE_MS = 15 * 1000, RESUME_MS = 5 * 1000, SIGNAL_MS = 5 * 1000, KILL_MS = 10 * 1000 };

/* --- on the loop --- */

/* The process in a form that a worker can wait for; from now on its end is no surprise. */
static int take_over(struct vm *vm, void *data, struct error *err)
{
	int *fd = data;

	vm->being_ended = true;
	*fd = vm->proc.pidfd < 0 ? -1 : fcntl(vm->proc.pidfd, F_DUPFD_CLOEXEC, 3);
	if (vm->proc.pidfd >= 0 && *fd < 0)
		return error_errno(err, -errno, "process of VM '%s'", vm->row.name);
	return 0;
}

static void ignore_reply(void *data, const json_t *reply, const struct error *err)
{
	(void)data;
	(void)reply;
	(void)err;
}

static int ask_guest(struct vm *vm, void *data, struct error *err)
{
	bool *asked = data;

	(void)err;
	*asked = vm->guest && guest_is_up(vm->guest) && vm->state == VM_STOPPING;
	vm->asked_off |= *asked;
	if (*asked)
		guest_call(vm->guest, "/poweroff", NULL, POLITE_MS, ignore_reply, NULL);
	return 0;
}

struct ending {
	enum vm_state state;
	const char *reason;
	const char *who;
	const char *op;
};

static int detach(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;

	(void)err;
	vm_detach(vm, e->state, e->reason, e->who, e->op);
	return 0;
}

/*
 * Given up half-way: the end of the process is anybody's again, or has come already. It goes on
 * running, unless somebody has asked for something else meanwhile.
 */
static int hand_back(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;

	(void)err;
	vm->being_ended = false;
	if (vm->ended) {
		vm_detach(vm, VM_STOPPED, vm->end_reason, e->who, e->op);
		vm_network_close_later(vm);
	} else if (vm->state == VM_STOPPING && streq(op_id(vm->op), e->op)) {
		vm_set_state(vm, VM_RUNNING, "running",
			     "its stop was cancelled after the guest had been asked to power off, "
			     "which it may still do",
			     e->who, e->op);
	}
	return 0;
}

static int set_state(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;

	(void)err;
	if (vm->state != e->state && vm_state_may_follow(vm->state, e->state))
		vm_set_state(vm, e->state, "stopped", "", e->who, e->op);
	return 0;
}

/* Written down before anything is taken away, so that a crash goes on with it. */
static int intend_delete(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;

	return vm->state == VM_DELETING ? 0
					: vm_intend(vm, VM_DELETING, "deleted", e->who, e->op, err);
}

/* --- on the worker --- */

static int wait_gone(int pidfd, int timeout_ms, int cancel_fd)
{
	int64_t deadline = clock_mono_us() + (int64_t)timeout_ms * 1000;

	for (;;) {
		struct pollfd p[2] = { { .fd = pidfd, .events = POLLIN },
				       { .fd = cancel_fd, .events = POLLIN } };
		int64_t left = (deadline - clock_mono_us() + 999) / 1000;

		if (left < 0)
			left = 0;
		if (poll(p, 2, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (p[0].revents)
			return 0;
		if (p[1].revents)
			return -ECANCELED;
		if (left == 0)
			return -ETIMEDOUT;
	}
}

/*
 * What can't be taken away now is, by the next start of the VM or by its deletion, which does not
 * end before it is.
 */
static int close_network(const struct verb_job *job, struct error *err)
{
	struct error failed = ERROR_INIT;
	int r = vm_network_close(job, &failed);

	if (r == 0)
		return 0;
	if (job->verb == VM_VERB_DELETE) {
		*err = failed;
		return r;
	}
	log_fields(LOG_WARN, "network not taken away", "vm", job->id, "error", failed.msg, NULL);
	return 0;
}

/* 0: it is gone. -EPIPE: its agent can't be asked, -ETIMEDOUT: it did not do it, -ECANCELED. */
static int power_off(struct op *op, const struct verb_job *job, int pidfd, int timeout_ms)
{
	struct error ignored;
	bool asked = false;

	op_stage(op, "guest");
	(void)!vm_on_loop(job, ask_guest, &asked, &ignored);
	return asked ? wait_gone(pidfd, timeout_ms, op_cancel_fd(op)) : -EPIPE;
}

/* That the guest had no chance to write out what it had is worth a word. */
static void tell_killed(int r, int polite_ms, const char *reason, char *text, size_t size)
{
	if (r == -EPIPE)
		(void)snprintf(text, size,
			       "%s; its agent could not be asked to power off, so it was killed",
			       reason);
	else if (r < 0)
		(void)snprintf(text, size,
			       "%s; the guest did not power off within %d s and was killed", reason,
			       polite_ms / 1000);
}

int vm_end_process(struct op *op, struct verb_job *job, int polite_ms, enum vm_state state,
		   const char *reason, struct error *err)
{
	struct ending e = { .state = state, .reason = reason, .who = job->who, .op = op_id(op) };
	autoclose int pidfd = -1;
	char killed[256] = "";
	int r = vm_on_loop(job, take_over, &pidfd, err);

	if (r < 0)
		return r;
	if (pidfd >= 0 && polite_ms > 0 && job->verb != VM_VERB_KILL) {
		r = power_off(op, job, pidfd, polite_ms);
		if (r == -ECANCELED) {
			(void)!vm_on_loop(job, hand_back, &e, err);
			return op_check(op, err);
		}
		tell_killed(r, polite_ms, reason, killed, sizeof(killed));
		if (killed[0])
			e.reason = killed;
	}
	if (pidfd >= 0 && job->signo && job->signo != SIGKILL) {
		op_stage(op, "signal");
		if (pidfd_send_signal(pidfd, job->signo, NULL, 0) == 0)
			(void)!wait_gone(pidfd, SIGNAL_MS, op_cancel_fd(op));
	}
	if (pidfd >= 0) {
		op_stage(op, "vmm");
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		/* A process in the kernel's hands (a dying disk, say) may take long; it is not ours
		 * to give up on. */
		r = wait_gone(pidfd, KILL_MS, -1);
		if (r < 0)
			return error_errno(err, r, "the VMM of '%s' does not end", job->id);
	}
	r = close_network(job, err);
	if (r < 0 || state == VM_STATE_MAX_)
		return r;
	op_stage(op, "clean-up");
	return vm_on_loop(job, detach, &e, err);
}

/* Killing a suspended VM drops its memory. */
static int drop_memory(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;

	(void)err;
	if (vm->state == VM_SUSPENDED) {
		suspend_discard(vm);
		vm_set_state(vm, VM_STOPPED, "stopped",
			     "its suspended memory was dropped on request", e->who, e->op);
	}
	return 0;
}

struct standing {
	const struct vmm_driver *driver; /* NULL: it is not paused */
	const struct vmm_config *config;
};

static int look_standing(struct vm *vm, void *data, struct error *err)
{
	struct standing *s = data;

	(void)err;
	if (vm->state == VM_PAUSED)
		*s = (struct standing){ .driver = vm->driver, .config = &vm->boot.config };
	return 0;
}

/* A guest that stands still can't power off. One that can't go on is killed. */
static void let_go_on(struct op *op, const struct standing *s, const char *id)
{
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)RESUME_MS * 1000,
				 .cancel_fd = op_cancel_fd(op) };
	struct error err;

	if (!s->driver)
		return;
	op_stage(op, "resume");
	if (s->driver->resume(s->config, &wait, &err) < 0)
		log_fields(LOG_WARN, "paused VM does not go on", "vm", id, "error", err.msg, NULL);
}

static void why_stopped(const struct verb_job *job, char *text, size_t size)
{
	if (streq(job->who, "server"))
		(void)snprintf(text, size,
			       "the server ended while the VM was being stopped, and killed it "
			       "when it was back");
	else if (job->idle_s)
		(void)snprintf(text, size, "stopped after %u s without activity (idle_stop_s)",
			       job->idle_s);
	else
		(void)snprintf(text, size, "%s on request", job->force ? "killed" : "stopped");
}

static int run_stop(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	struct ending stopping = { .state = VM_STOPPING, .who = job->who, .op = op_id(op) };
	struct standing standing = { .driver = NULL };
	char why[128];
	int r = vm_on_loop(job, drop_memory, &stopping, err);

	if (r == 0 && !job->force)
		r = vm_on_loop(job, look_standing, &standing, err);
	if (r == 0)
		r = vm_on_loop(job, set_state, &stopping, err);
	if (r < 0)
		return r;
	let_go_on(op, &standing, job->id);
	why_stopped(job, why, sizeof(why));
	return vm_end_process(op, job, job->force ? 0 : POLITE_MS, VM_STOPPED, why, err);
}

static int run_restart(struct op *op, void *data, struct error *err)
{
	int r = run_stop(op, data, err);

	return r < 0 ? r : vm_run_start(op, data, err);
}

static int forget(struct vm *vm, void *data, struct error *err)
{
	const struct ending *e = data;
	struct vms *vms = vm->vms;
	char id[sizeof(vm->row.id)];
	char name[sizeof(vm->row.name)];
	int r = vms_delete(vms->c.store, vm->row.id, err);

	if (r < 0)
		return r;
	(void)snprintf(id, sizeof(id), "%s", vm->row.id);
	(void)snprintf(name, sizeof(name), "%s", vm->row.name);
	vm_free(vm);
	events_emit(vms->c.events, &(struct event){ .kind = "vm.deleted",
						    .target = id,
						    .target_name = name,
						    .by = e->who,
						    .operation = e->op });
	return 0;
}

/* Goes to the end whatever fails on the way; the row stays until every resource is gone. */
static int run_delete(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	struct ending deleting = { .state = VM_DELETING, .who = job->who, .op = op_id(op) };
	int r = vm_on_loop_stored(op, job, intend_delete, &deleting, err);

	if (r < 0 && err->code == ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = vm_end_process(op, job, 0, VM_DELETING, "", err);
	if (r < 0)
		return r;
	op_stage(op, "disk");
	r = remove_tree_at(job->vms->vms_fd, job->id);
	if (r < 0)
		return error_errno(err, r, "remove the disk of VM %s", job->id);
	op_stage(op, "row");
	r = vm_on_loop_stored(op, job, forget, &deleting, err);
	return r < 0 ? error_wrap(err, "all but the row is gone, and that follows") : 0;
}

static int submit(struct vm *vm, struct verb_job *job, const char *kind, op_run_fn *run,
		  const char *who, struct op **ret_op, struct error *err)
{
	int r = vm_state_allows(vm->state, job->verb, vm->row.name, err);

	if (r < 0)
		return r;
	(void)snprintf(job->who, sizeof(job->who), "%s", who);
	if (job->verb == VM_VERB_KILL || job->verb == VM_VERB_DELETE)
		ops_cancel_queue(vm->vms->c.ops, vm->row.id);
	return vm_submit_verb(vm, kind, run, job, NULL, ret_op, err);
}

int vm_stop(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_STOP };

	if (streq(who, VM_BY_IDLE))
		job.idle_s = (uint32_t)vm->row.idle_stop_s;
	return submit(vm, &job, "vm.stop", run_stop, who, ret_op, err);
}

int vm_restart(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_RESTART };

	return submit(vm, &job, "vm.restart", run_restart, who, ret_op, err);
}

int vm_kill_by(struct vm *vm, int signo, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_KILL, .force = true, .signo = signo };

	return submit(vm, &job, "vm.kill", run_stop, who, ret_op, err);
}

int vm_kill(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	return vm_kill_by(vm, SIGKILL, who, ret_op, err);
}

/* A second delete joins the first one: deleting twice at once must not run over a freed VM. */
int vm_delete(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_DELETE, .force = true };

	if (vm->op && !op_ended(vm->op) && streq(op_kind(vm->op), "vm.delete")) {
		*ret_op = vm->op;
		return 0;
	}
	return submit(vm, &job, "vm.delete", run_delete, who, ret_op, err);
}
