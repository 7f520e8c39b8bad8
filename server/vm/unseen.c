/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/unseen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "server/vmm/cgroup.h"

enum { BOOT_MS = 180 * 1000, VMM_MS = 60 * 1000 };

int unseen_init(struct unseen *u, struct vms *vms, const struct vm_row *shape, const char *name,
		struct error *err)
{
	const struct kernel_row *kernel = catalog_kernel_by_id(vms->c.catalog, shape->kernel_id);
	int r;

	*u = (struct unseen){
		.vms = vms, .row = *shape, .driver = vms->c.driver, .proc = PROC_INIT, .wake_fd = -1
	};
	(void)snprintf(u->row.id, sizeof(u->row.id), "%s", id_new().s);
	(void)snprintf(u->row.name, sizeof(u->row.name), "%s", name ? name : u->row.id);
	u->row.pid = 0;
	r = vm_boot_init(vms, &u->row, kernel ? kernel->cmdline : "", &u->boot, err);
	if (r == 0 && u->boot.config.net.mode == VMM_NET_TAP) {
		u->boot.config.net.mode = VMM_NET_USER;
		u->boot.config.net.restrict_out = true;
	}
	return r;
}

void unseen_done(struct unseen *u)
{
	vm_boot_done(&u->boot);
	close_keep_errno(u->wake_fd);
	u->wake_fd = -1;
}

/* --- on the loop --- */

void unseen_wake(struct unseen *u)
{
	uint64_t one = 1;

	(void)!write(u->wake_fd, &one, sizeof(one));
}

static int open_link(void *data)
{
	struct unseen *u = data;

	return u->driver->open_link(&u->boot.config);
}

static void on_up(void *data, const struct guest_info *info)
{
	struct unseen *u = data;

	if (info->degraded)
		(void)error_set(&u->guest_error, ERR_GUEST, "the guest came up degraded: %s",
				info->problem);
	__atomic_store_n(&u->up, true, __ATOMIC_RELEASE);
	unseen_wake(u);
}

static void on_down(void *data, const struct error *why)
{
	(void)data;
	(void)why;
}

static void watch_guest(void *data)
{
	static const struct guest_callbacks callbacks = { .open = open_link,
							  .up = on_up,
							  .down = on_down };
	struct unseen *u = data;
	int r = guest_new(u->vms->c.loop, &callbacks, u, &u->guest);

	if (r < 0)
		(void)error_errno(&u->guest_error, r, "guest link");
}

static void drop_guest(void *data)
{
	struct unseen *u = data;

	guest_free(u->guest);
	u->guest = NULL;
}

/* --- on the worker --- */

/* One call on the loop. guest_error is the loop's: the worker gets a copy of what it is then. */
struct loop_step {
	struct unseen *u;
	loop_fn *fn;
	void *data;
	struct error error;
};

static void run_step(void *data)
{
	struct loop_step *step = data;

	step->fn(step->data);
	step->error = step->u->guest_error;
}

int unseen_on_loop(struct unseen *u, loop_fn *fn, void *data, struct error *err)
{
	struct loop_step step = { .u = u, .fn = fn, .data = data };

	if (loop_call(u->vms->c.loop, run_step, &step) < 0)
		return error_set(err, ERR_CANCELLED, "the server is ending");
	if (step.error.code == ERR_NONE)
		return 0;
	*err = step.error;
	return error_to_errno(err);
}

/* For unseen_on_loop(): only to learn the guest's error. */
static void look(void *data)
{
	(void)data;
}

int unseen_wait(struct unseen *u, const bool *flag, int timeout_ms, const char *what,
		struct error *err)
{
	int64_t deadline = clock_mono_us() + (int64_t)timeout_ms * 1000;

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		struct pollfd p[3] = { { .fd = u->wake_fd, .events = POLLIN },
				       { .fd = op_cancel_fd(u->op), .events = POLLIN },
				       { .fd = u->proc.pidfd, .events = POLLIN } };
		int64_t left = (deadline - clock_mono_us()) / 1000;
		uint64_t n;

		if (left <= 0)
			return error_set(err, ERR_TIMEOUT, "%s took longer than %d s", what,
					 timeout_ms / 1000);
		if (poll(p, 3, (int)left) < 0 && errno != EINTR)
			return error_errno(err, -errno, "%s", what);
		if (p[1].revents)
			return op_check(u->op, err);
		if (p[2].revents)
			return error_set(err, ERR_GUEST, "the VM ended during: %s", what);
		if (p[0].revents)
			(void)!read(u->wake_fd, &n, sizeof(n));
	}
	return unseen_on_loop(u, look, NULL, err);
}

struct vmm_wait unseen_vmm_wait(const struct unseen *u)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)VMM_MS * 1000,
				  .cancel_fd = op_cancel_fd(u->op) };
}

int unseen_prepare(struct unseen *u, int *ret_dir_fd, struct error *err)
{
	autoclose int dir = -1;
	autoclose int run = -1;
	int r;

	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->wake_fd < 0)
		return error_errno(err, -errno, "eventfd");
	r = vm_boot_mend(u->vms, u->row.image_id, u->row.kernel_id, u->op, err);
	if (r < 0)
		return r;
	dir = open_dir_create(u->boot.dir, 0700);
	run = open_dir_create(u->boot.run_dir, 0700);
	if (dir < 0 || run < 0)
		return error_errno(err, dir < 0 ? dir : run, "make the folders of a VM");
	*ret_dir_fd = take_fd(&dir);
	return 0;
}

static int meet_guest(struct unseen *u, int timeout_ms, const char *what, struct error *err)
{
	int r = unseen_on_loop(u, watch_guest, u, err);

	return r < 0 ? r : unseen_wait(u, &u->up, timeout_ms, what, err);
}

int unseen_boot(struct unseen *u, struct error *err)
{
	struct vmm_wait wait;
	int r;

	op_stage(u->op, "initramfs");
	r = kernel_initramfs(u->vms->c.paths, u->row.kernel_id, &u->boot.initrd, err);
	if (r < 0)
		return r;
	u->boot.config.initrd = u->boot.initrd;
	op_stage(u->op, "vmm");
	wait = unseen_vmm_wait(u);
	r = u->driver->start(&u->boot.config, &wait, &u->proc, err);
	if (r < 0)
		return r;
	op_stage(u->op, "boot");
	return meet_guest(u, BOOT_MS, "the boot", err);
}

int unseen_restore(struct unseen *u, int source_fd, struct error *err)
{
	struct vmm_wait wait;
	int r;

	op_stage(u->op, "restore");
	r = vm_limit(u->vms, u->row.id, &u->boot, err);
	if (r < 0)
		return r;
	wait = unseen_vmm_wait(u);
	r = u->driver->restore(&u->boot.config, source_fd, NULL, &wait, &u->proc, err);
	if (r < 0)
		return r;
	op_stage(u->op, "wake");
	return meet_guest(u, VMM_MS, "the wake-up", err);
}

int unseen_drop_guest(struct unseen *u, struct error *err)
{
	return unseen_on_loop(u, drop_guest, u, err);
}

void unseen_end(struct unseen *u)
{
	(void)!loop_call(u->vms->c.loop, drop_guest, u);
	unseen_remove(u);
}

void unseen_remove(struct unseen *u)
{
	proc_kill(&u->proc);
	cgroup_remove(u->vms->c.cgroup_dir, u->row.id);
	(void)!remove_tree_at(u->vms->run_fd, u->row.id);
	(void)!remove_tree_at(u->vms->vms_fd, u->row.id);
}
