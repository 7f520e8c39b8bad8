/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that ends takes its network along, a moment before its own end shows: what to do about a
 * network is left to the next check, which comes soon and finds the VM gone then.
 */
#include "server/vm/user_net.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "server/vm/probe.h"
#include "server/vm/vm_internal.h"

enum { RENEW_MS = 20 * 1000 };

static void unwatch(struct vm *vm)
{
	loop_fd_remove(vm->net_source);
	vm->net_source = NULL;
	close_keep_errno(vm->net_fd);
	vm->net_fd = -1;
}

static void note_end(struct vm *vm)
{
	vm->net_ended = true;
	vm->tries = 0;
	vms_check_soon(vm->vms);
}

static void on_end(void *data, uint32_t events)
{
	struct vm *vm = data;

	(void)events;
	unwatch(vm);
	note_end(vm);
}

void vm_user_net_watch(struct vm *vm)
{
	int r;

	unwatch(vm);
	vm->net_ended = false;
	if (!vm->driver->watch_user_net || !streq(vm->row.network, "user"))
		return;
	r = vm->driver->watch_user_net(&vm->boot.config);
	if (r >= 0) {
		vm->net_fd = r;
		r = loop_fd_add(vm->vms->c.loop, vm->net_fd, EPOLLIN, on_end, vm, &vm->net_source);
	}
	if (r == -ESRCH)
		note_end(vm);
	else if (r < 0 && r != -ENOENT)
		log_fields(LOG_WARN, "user network not watched", "vm", vm->row.id, "error",
			   strerrordesc_np(-r), NULL);
}

void vm_user_net_forget(struct vm *vm)
{
	unwatch(vm);
	vm->net_ended = false;
}

/* --- another one --- */

struct renewal {
	const struct vmm_driver *driver;
	const struct vmm_config *config; /* replaced by operations of this VM's queue only */
	const struct error *failed;
};

static int look(struct vm *vm, void *data, struct error *err)
{
	struct renewal *r = data;

	if (vm->proc.pidfd < 0 || !vm->net_ended)
		return error_set(err, ERR_STATE, "VM '%s' has ended meanwhile", vm->row.name);
	r->driver = vm->driver;
	r->config = &vm->boot.config;
	return 0;
}

static int take_up(struct vm *vm, void *data, struct error *err)
{
	bool told = vm->told & VM_TOLD_NET;

	(void)data;
	(void)err;
	if (vm->proc.pidfd < 0)
		return 0;
	vm_user_net_watch(vm);
	vm->told &= ~(unsigned int)VM_TOLD_NET;
	vm_tell(vm, "its user network had ended",
		"it has another one; what was connected through it is not any more");
	if (told)
		vm_set_state(vm, vm->state, NULL, "", NULL, NULL);
	return 0;
}

static int give_up(struct vm *vm, void *data, struct error *err)
{
	const struct renewal *r = data;
	char reason[400];

	(void)err;
	/* Of a VM that is ending it is no news. */
	if (vm->proc.pidfd < 0 || !vm->exit_source || vm->being_ended)
		return 0;
	(void)snprintf(reason, sizeof(reason),
		       "the guest has no network: banger-netgate or passt has ended, and there is "
		       "no other yet (%.160s); suspend and resume the VM, which keeps its memory, "
		       "or restart it",
		       r->failed->msg);
	if (vm_tell_once(vm, VM_TOLD_NET, true, "its user network has ended", reason))
		vm_set_state(vm, vm->state, NULL, reason, NULL, NULL);
	return 0;
}

static int run_renew(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)RENEW_MS * 1000,
				 .cancel_fd = op_cancel_fd(op) };
	struct renewal renewal = { .failed = err };
	struct error ignored;
	int r;

	op_stage(op, "network");
	r = vm_on_loop(job, look, &renewal, err);
	if (r < 0)
		return r;
	r = renewal.driver->renew_user_net(renewal.config, &wait, err);
	if (r == 0)
		return vm_on_loop(job, take_up, NULL, err);
	(void)!vm_on_loop(job, give_up, &renewal, &ignored);
	return r;
}

void vm_user_net_renew(struct vm *vm)
{
	struct verb_job job = { .who = "server", .verb = VM_VERB_MAX_ };
	struct error err;
	struct op *op;

	if (vm_submit(vm, "vm.network", run_renew, &job, &op, &err) < 0)
		log_fields(LOG_ERROR, "user network not renewed", "vm", vm->row.id, "error",
			   err.msg, NULL);
}
