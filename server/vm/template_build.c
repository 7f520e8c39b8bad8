/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capturing a template: a VM that nobody sees is booted, warmed, paused, written down and ended.
 * Its folders have a VM's form of name but no row, so whatever a crash leaves of it goes with the
 * next start's sweep.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/template_internal.h"

enum { BOOT_MS = 180 * 1000, WARM_MS = 180 * 1000, VMM_MS = 60 * 1000, IDENTITY_MS = 60 * 1000 };

struct build {
	struct build *next;
	struct templates *t;
	struct op *queued; /* the same, as the loop sees it: lives until `done` */
	struct op *op;
	struct vm_row row;
	char who[128];
	struct template template;
	struct vm_boot boot;
	const struct vmm_driver *driver;
	struct proc proc;
	int wake_fd;
	char staging[ID_LEN + 8];

	struct guest *guest; /* the loop's, as what follows */
	bool up;
	bool warm;
	struct error guest_error;
};

/* --- on the loop --- */

static void wake(struct build *b)
{
	uint64_t one = 1;

	(void)!write(b->wake_fd, &one, sizeof(one));
}

static int open_link(void *data)
{
	struct build *b = data;

	return b->driver->open_link(&b->boot.config);
}

static void on_up(void *data, const struct guest_info *info)
{
	struct build *b = data;

	if (info->degraded)
		(void)error_set(&b->guest_error, ERR_GUEST, "the guest came up degraded: %s",
				info->problem);
	__atomic_store_n(&b->up, true, __ATOMIC_RELEASE);
	wake(b);
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
	struct build *b = data;
	int r = guest_new(b->t->c.vms->c.loop, &callbacks, b, &b->guest);

	if (r < 0)
		(void)error_errno(&b->guest_error, r, "guest link");
}

static bool on_warm_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	(void)data;
	(void)is_stderr;
	(void)bytes;
	(void)len;
	return true;
}

static void on_first_identity(void *data, const json_t *reply, const struct error *err)
{
	struct build *b = data;

	(void)reply;
	if (err)
		b->guest_error = *err;
	__atomic_store_n(&b->warm, true, __ATOMIC_RELEASE);
	wake(b);
}

/*
 * The first identity is the slow one: files of the image are copied to the work disk, directories
 * read. Taken before the capture, it is paid once. No clone sees it, and no key stays.
 * What the command said does not matter: a service that failed here fails in a cold boot as well.
 */
static void on_warm_end(void *data, const struct guest_exec_end *end)
{
	static const char machine_id[] = "00000000000000000000000000000001";
	struct build *b = data;
	char boot_id[40];

	(void)end;
	vm_boot_id_new(boot_id);
	guest_call(b->guest, "/identity",
		   /* The shortest name: a clone's is then written over it. */
		   json_pack("{s:s, s:s, s:s, s:s}", "hostname", "t", "machine_id", machine_id,
			     "boot_id", boot_id, "ssh_host_keys", "remove"),
		   IDENTITY_MS, on_first_identity, b);
}

/*
 * Runs a first command, so that what every exec needs is in the template's memory; with an init of
 * the image's own, the command that ends when the boot has.
 */
static void warm_up(void *data)
{
	static const struct guest_exec_callbacks callbacks = { .output = on_warm_output,
							       .end = on_warm_end };
	struct build *b = data;
	bool system = streq(b->row.init, "system");
	json_auto_t *argv =
		system ? json_pack("[s, s, s]", "systemctl", "is-system-running", "--wait")
		       : json_pack("[s]", "true");
	struct guest_exec_spec spec = { .argv = argv, .timeout_ms = WARM_MS };
	struct guest_exec *exec = NULL;

	if (guest_exec_start(b->guest, "warm-up", &spec, &callbacks, b, &exec, &b->guest_error) < 0)
		wake(b);
}

static void drop_guest(void *data)
{
	struct build *b = data;

	guest_free(b->guest);
	b->guest = NULL;
}

static void publish(void *data)
{
	struct build *b = data;

	if (renameat(b->t->dir_fd, b->staging, b->t->dir_fd, b->template.key) < 0) {
		(void)error_errno(&b->guest_error, -errno, "publish template %s", b->template.key);
		return;
	}
	if (template_add(b->t, &b->template, &b->guest_error) < 0)
		return;
	template_collect(b->t, b->template.key);
	events_emit(b->t->c.vms->c.events, &(struct event){ .kind = "template.added",
							    .target = b->template.key,
							    .target_name = b->template.image_name,
							    .by = b->who,
							    .operation = op_id(b->op) });
}

/* --- on the worker --- */

/* One call on the loop. guest_error is the loop's: the worker gets a copy of what it is then. */
struct loop_step {
	struct build *build;
	loop_fn *fn;
	struct error error;
};

static void run_step(void *data)
{
	struct loop_step *step = data;

	step->fn(step->build);
	step->error = step->build->guest_error;
}

static int on_loop(struct build *b, loop_fn *fn, struct error *err)
{
	struct loop_step step = { .build = b, .fn = fn };

	if (loop_call(b->t->c.vms->c.loop, run_step, &step) < 0)
		return error_set(err, ERR_CANCELLED, "the server is ending");
	if (step.error.code == ERR_NONE)
		return 0;
	*err = step.error;
	return error_to_errno(err);
}

/* For on_loop(): only to learn the guest's error. */
static void look(void *data)
{
	(void)data;
}

static int wait_for(struct build *b, const bool *flag, int timeout_ms, const char *what,
		    struct error *err)
{
	int64_t deadline = clock_mono_us() + (int64_t)timeout_ms * 1000;

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		struct pollfd p[3] = { { .fd = b->wake_fd, .events = POLLIN },
				       { .fd = op_cancel_fd(b->op), .events = POLLIN },
				       { .fd = b->proc.pidfd, .events = POLLIN } };
		int64_t left = (deadline - clock_mono_us()) / 1000;
		uint64_t n;

		if (left <= 0)
			return error_set(err, ERR_TIMEOUT, "%s took longer than %d s", what,
					 timeout_ms / 1000);
		if (poll(p, 3, (int)left) < 0 && errno != EINTR)
			return error_errno(err, -errno, "%s", what);
		if (p[1].revents)
			return op_check(b->op, err);
		if (p[2].revents)
			return error_set(err, ERR_GUEST, "the VM ended during: %s", what);
		if (p[0].revents)
			(void)!read(b->wake_fd, &n, sizeof(n));
	}
	return on_loop(b, look, err);
}

static struct vmm_wait wait_of(const struct build *b, int ms)
{
	return (struct vmm_wait){ .deadline_us = clock_mono_us() + (int64_t)ms * 1000,
				  .cancel_fd = op_cancel_fd(b->op) };
}

static int boot(struct build *b, struct error *err)
{
	struct vms *vms = b->t->c.vms;
	struct vmm_wait wait;
	autoclose int dir = -1;
	autoclose int run = -1;
	int r;

	op_stage(b->op, "initramfs");
	r = kernel_initramfs(vms->c.paths, b->row.kernel_id, &b->boot.initrd, err);
	if (r < 0)
		return r;
	b->boot.config.initrd = b->boot.initrd;
	op_stage(b->op, "disk");
	dir = open_dir_create(b->boot.dir, 0700);
	run = open_dir_create(b->boot.run_dir, 0700);
	if (dir < 0 || run < 0)
		return error_errno(err, dir < 0 ? dir : run, "make the template's folders");
	r = disk_create(vms->c.cache_dir, b->boot.work, (uint64_t)b->row.disk_mib,
			op_cancel_fd(b->op), err);
	if (r < 0)
		return r;
	op_stage(b->op, "vmm");
	wait = wait_of(b, VMM_MS);
	r = b->driver->start(&b->boot.config, &wait, &b->proc, err);
	if (r < 0)
		return r;
	op_stage(b->op, "boot");
	r = on_loop(b, watch_guest, err);
	return r < 0 ? r : wait_for(b, &b->up, BOOT_MS, "the boot", err);
}

static int64_t folder_bytes(int dir_fd)
{
	static const char *const files[] = { "state", "memory", "work.ext4" };
	int64_t sum = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (fstatat(dir_fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			sum += (int64_t)st.st_blocks * 512;
	return sum;
}

/* Written beside, flushed, then renamed into place. */
static int capture(struct build *b, struct error *err)
{
	struct vmm_wait wait;
	autoclose int dir = -1;
	autoclose int disk = -1;
	int r;

	op_stage(b->op, "warm-up");
	r = on_loop(b, warm_up, err);
	if (r == 0)
		r = wait_for(b, &b->warm, WARM_MS, "the warm-up", err);
	if (r == 0)
		r = on_loop(b, drop_guest, err);
	if (r < 0)
		return r;
	op_stage(b->op, "pause");
	wait = wait_of(b, VMM_MS);
	r = b->driver->pause(&b->boot.config, &wait, err);
	if (r < 0)
		return r;
	op_stage(b->op, "capture");
	dir = open_subdir(b->t->dir_fd, b->staging, 0700);
	if (dir < 0)
		return error_errno(err, dir, "make the template's folder");
	wait = wait_of(b, VMM_MS);
	r = b->driver->snapshot(&b->boot.config, dir, &wait, err);
	if (r < 0)
		return r;
	proc_kill(&b->proc);
	disk = open(b->boot.work, O_RDONLY | O_CLOEXEC);
	if (disk < 0 || fsync(disk) < 0 || renameat(AT_FDCWD, b->boot.work, dir, "work.ext4") < 0)
		return error_errno(err, -errno, "keep the template's disk");
	b->template.size_bytes = folder_bytes(dir);
	b->template.made = b->t->here;
	r = made_sum(dir, &b->template.made, err);
	if (r < 0)
		return r;
	r = template_write_manifest(dir, &b->template);
	if (r < 0)
		return error_errno(err, r, "write the template's manifest");
	op_stage(b->op, "publish");
	return on_loop(b, publish, err);
}

static int run_build(struct op *op, void *data, struct error *err)
{
	struct build *b = data;
	int r;

	b->op = op;
	b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->wake_fd < 0)
		return error_errno(err, -errno, "eventfd");
	r = boot(b, err);
	if (r == 0)
		r = capture(b, err);
	(void)!loop_call(b->t->c.vms->c.loop, drop_guest, b);
	proc_kill(&b->proc);
	(void)!remove_tree_at(b->t->c.vms->run_fd, b->row.id);
	(void)!remove_tree_at(b->t->c.vms->vms_fd, b->row.id);
	(void)!remove_tree_at(b->t->dir_fd, b->staging);
	return r;
}

static void on_done(struct op *op, void *data)
{
	struct build *b = data;

	(void)op;
	for (struct build **p = &b->t->builds; *p; p = &(*p)->next) {
		if (*p == b) {
			*p = b->next;
			return;
		}
	}
}

static void build_free(void *data)
{
	struct build *b = data;

	vm_boot_done(&b->boot);
	close_keep_errno(b->wake_fd);
	free(b);
}

static void describe(struct build *b, const char *key)
{
	struct template *one = &b->template;

	(void)snprintf(one->key, sizeof(one->key), "%s", key);
	(void)snprintf(one->image_name, sizeof(one->image_name), "%s", b->row.image_name);
	(void)snprintf(one->image_id, sizeof(one->image_id), "%s", b->row.image_id);
	(void)snprintf(one->kernel_id, sizeof(one->kernel_id), "%s", b->row.kernel_id);
	(void)snprintf(one->network, sizeof(one->network), "%s", b->row.network);
	(void)snprintf(one->init, sizeof(one->init), "%s", b->row.init);
	one->vcpus = b->row.vcpus;
	one->memory_mib = b->row.memory_mib;
	one->disk_mib = b->row.disk_mib;
	one->created_ms = clock_wall_ms();
	one->used_ms = one->created_ms;
}

/* True when there is nothing to begin: *ret_op is what is under way, or NULL. */
static bool is_made(struct templates *t, const char *key, bool pinned, struct op **ret_op)
{
	*ret_op = NULL;
	if (templates_find(t, key))
		return true;
	for (struct build *b = t->builds; b; b = b->next) {
		if (!streq(b->template.key, key))
			continue;
		b->template.pinned |= pinned;
		*ret_op = b->queued;
		return true;
	}
	return false;
}

int templates_build(struct templates *t, const struct vm_row *shape, bool pinned, const char *who,
		    struct op **ret_op, struct error *err)
{
	struct vms *vms = t->c.vms;
	const struct kernel_row *kernel = catalog_kernel_by_id(vms->c.catalog, shape->kernel_id);
	char key[TEMPLATE_KEY_LEN + 1];
	struct build *b;
	struct op_spec spec;
	int r;

	if (!vms->c.driver || !(vms->c.driver->caps & VMM_CAP_SNAPSHOT))
		return error_set(err, ERR_UNSUPPORTED, "this host's VMM can't capture a VM");
	templates_key(t, shape, key);
	if (is_made(t, key, pinned, ret_op))
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return error_errno(err, -ENOMEM, "template");
	b->t = t;
	b->row = *shape;
	b->proc = PROC_INIT;
	b->wake_fd = -1;
	b->driver = vms->c.driver;
	(void)snprintf(b->row.id, sizeof(b->row.id), "%s", id_new().s);
	(void)snprintf(b->row.name, sizeof(b->row.name), "template");
	(void)snprintf(b->who, sizeof(b->who), "%s", who);
	(void)snprintf(b->staging, sizeof(b->staging), "%s.new", b->row.id);
	describe(b, key);
	b->template.pinned = pinned;
	r = vm_boot_init(vms, &b->row, kernel ? kernel->cmdline : "", &b->boot, err);
	if (r < 0) {
		build_free(b);
		return r;
	}
	/* A clone gets the bridge; the template itself needs a device that leads nowhere. */
	if (b->boot.config.net.mode == VMM_NET_TAP) {
		b->boot.config.net.mode = VMM_NET_USER;
		b->boot.config.net.restrict_out = true;
	}
	b->next = t->builds;
	t->builds = b;
	spec = (struct op_spec){ .kind = "template.build",
				 .target = b->template.key,
				 .target_name = b->row.image_name,
				 .queue = "templates",
				 .request_by = b->who,
				 .run = run_build,
				 .done = on_done,
				 .free_data = build_free,
				 .data = b };
	r = ops_submit(vms->c.ops, &spec, ret_op, err);
	if (r == 0)
		b->queued = *ret_op;
	return r;
}
