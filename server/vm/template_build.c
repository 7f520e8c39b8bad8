/* SPDX-License-Identifier: Apache-2.0 */
/* Capturing a template: a VM that nobody sees is booted, warmed, paused, written down and ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/rehearsal.h"
#include "server/vm/standby.h"
#include "server/vm/template_internal.h"

struct build {
	struct build *next;
	struct templates *t;
	struct op *queued; /* the same, as the loop sees it: lives until `done` */
	char who[128];
	struct template template;
	struct unseen vm;
	char staging[ID_LEN + 8];
	struct rehearsal rehearsal;
	bool wanted; /* the loop's: to be pinned once it is there */
};

/* --- on the loop --- */

static void publish(void *data)
{
	struct build *b = data;

	if (renameat(b->t->dir_fd, b->staging, b->t->dir_fd, b->template.key) < 0) {
		(void)error_errno(&b->vm.guest_error, -errno, "publish template %s",
				  b->template.key);
		return;
	}
	if (template_add(b->t, &b->template, &b->vm.guest_error) < 0)
		return;
	template_collect(b->t, b->template.key);
	events_emit(b->t->c.vms->c.events, &(struct event){ .kind = "template.added",
							    .target = b->template.key,
							    .target_name = b->template.image_name,
							    .by = b->who,
							    .operation = op_id(b->vm.op) });
	standby_want(b->t->standbys, &b->template);
	/* What fails is the operation's error. */
	if (b->wanted)
		(void)!templates_pin(b->t, b->template.key, true, &b->vm.guest_error);
}

/* --- on the worker --- */

static int boot(struct build *b, struct error *err)
{
	struct unseen *u = &b->vm;
	autoclose int dir = -1;
	int r = unseen_prepare(u, &dir, err);

	if (r < 0)
		return r;
	op_stage(u->op, "disk");
	r = disk_create(u->vms->c.cache_dir, u->boot.work, (uint64_t)u->row.disk_mib,
			op_cancel_fd(u->op), err);
	return r < 0 ? r : unseen_boot(u, err);
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

/*
 * The first identity is the slow one: files of the image are copied to the work disk, directories
 * read. No clone sees it, and no key stays. With an init of the image's own the command is the one
 * that ends when the boot has; a service that failed here fails in a cold boot as well.
 */
static int warm_up(struct build *b, struct error *err)
{
	static const char machine_id[] = "00000000000000000000000000000001";
	json_auto_t *argv =
		streq(b->vm.row.init, "system")
			? json_pack("[s, s, s]", "systemctl", "is-system-running", "--wait")
			: json_pack("[s]", "true");
	char boot_id[40];

	vm_boot_id_new(boot_id);
	b->rehearsal = (struct rehearsal){
		.vm = &b->vm,
		.argv = argv,
		/* The shortest name: a clone's is then written over it. */
		.identity = json_pack("{s:s, s:s, s:s, s:s}", "hostname", "t", "machine_id",
				      machine_id, "boot_id", boot_id, "ssh_host_keys", "remove"),
	};
	return rehearse(&b->rehearsal, err);
}

/* Written beside, flushed, then renamed into place. */
static int capture(struct build *b, struct error *err)
{
	struct vmm_wait wait;
	autoclose int dir = -1;
	autoclose int disk = -1;
	int r;

	op_stage(b->vm.op, "warm-up");
	r = warm_up(b, err);
	if (r < 0)
		return r;
	op_stage(b->vm.op, "pause");
	wait = unseen_vmm_wait(&b->vm);
	r = b->vm.driver->pause(&b->vm.boot.config, &wait, err);
	if (r < 0)
		return r;
	op_stage(b->vm.op, "capture");
	dir = open_subdir(b->t->dir_fd, b->staging, 0700);
	if (dir < 0)
		return error_errno(err, dir, "make the template's folder");
	wait = unseen_vmm_wait(&b->vm);
	r = b->vm.driver->snapshot(&b->vm.boot.config, dir, &wait, err);
	if (r < 0)
		return r;
	proc_kill(&b->vm.proc);
	disk = open(b->vm.boot.work, O_RDONLY | O_CLOEXEC);
	if (disk < 0 || fsync(disk) < 0 ||
	    renameat(AT_FDCWD, b->vm.boot.work, dir, "work.ext4") < 0)
		return error_errno(err, -errno, "keep the template's disk");
	b->template.size_bytes = folder_bytes(dir);
	b->template.made = b->t->here;
	r = made_sum(dir, &b->template.made, err);
	if (r < 0)
		return r;
	r = template_write_manifest(dir, &b->template);
	if (r < 0)
		return error_errno(err, r, "write the template's manifest");
	op_stage(b->vm.op, "publish");
	return unseen_on_loop(&b->vm, publish, b, err);
}

static int run_build(struct op *op, void *data, struct error *err)
{
	struct build *b = data;
	int r;

	b->vm.op = op;
	r = boot(b, err);
	if (r == 0)
		r = capture(b, err);
	unseen_end(&b->vm);
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

	rehearsal_done(&b->rehearsal);
	unseen_done(&b->vm);
	free(b);
}

static void describe(struct build *b, const char *key)
{
	struct template *one = &b->template;

	(void)snprintf(one->key, sizeof(one->key), "%s", key);
	(void)snprintf(one->image_name, sizeof(one->image_name), "%s", b->vm.row.image_name);
	(void)snprintf(one->image_id, sizeof(one->image_id), "%s", b->vm.row.image_id);
	(void)snprintf(one->kernel_id, sizeof(one->kernel_id), "%s", b->vm.row.kernel_id);
	(void)snprintf(one->network, sizeof(one->network), "%s", b->vm.row.network);
	(void)snprintf(one->init, sizeof(one->init), "%s", b->vm.row.init);
	one->vcpus = b->vm.row.vcpus;
	one->memory_mib = b->vm.row.memory_mib;
	one->disk_mib = b->vm.row.disk_mib;
	one->created_ms = clock_wall_ms();
	one->used_ms = one->created_ms;
}

/* True when there is nothing to begin: *ret_op is what is under way, or NULL. */
static bool is_made(struct templates *t, const char *key, bool pinned, struct op **ret_op)
{
	const struct template *one = templates_find(t, key);

	*ret_op = NULL;
	if (one) {
		standby_want(t->standbys, one);
		return true;
	}
	for (struct build *b = t->builds; b; b = b->next) {
		if (!streq(b->template.key, key))
			continue;
		b->wanted |= pinned;
		*ret_op = b->queued;
		return true;
	}
	return false;
}

int templates_build(struct templates *t, const struct vm_row *shape, bool pinned, const char *who,
		    struct op **ret_op, struct error *err)
{
	struct vms *vms = t->c.vms;
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
	(void)snprintf(b->who, sizeof(b->who), "%s", who);
	r = unseen_init(&b->vm, vms, shape, "template", err);
	if (r < 0) {
		build_free(b);
		return r;
	}
	(void)snprintf(b->staging, sizeof(b->staging), "%s.new", b->vm.row.id);
	describe(b, key);
	b->wanted = pinned;
	b->next = t->builds;
	t->builds = b;
	spec = (struct op_spec){ .kind = "template.build",
				 .target = b->template.key,
				 .target_name = b->vm.row.image_name,
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
