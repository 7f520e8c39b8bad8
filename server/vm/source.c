/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/snapshot.h"
#include "server/vm/suspend.h"

/* --- choosing: on the loop --- */

/* A template stands for a first boot only: later ones have a disk of their own. */
static int choose_template(struct vm *vm, const struct verb_job *job, struct source *s,
			   struct error *err)
{
	struct templates *templates = vm->vms->c.templates;
	char key[TEMPLATE_KEY_LEN + 1];
	const struct template *one;

	if (!job->creating || job->boot == BOOT_COLD || !templates)
		return 0;
	templates_key(templates, &vm->row, key);
	one = templates_find(templates, key);
	if (one)
		s->fd = templates_open(templates, key);
	if (s->fd >= 0) {
		s->made = one->made;
		s->verified = one->verified;
		s->kind = SOURCE_TEMPLATE;
		s->with_memory = true;
		(void)snprintf(s->id, sizeof(s->id), "%s", key);
		templates_used(templates, key);
	} else if (job->boot == BOOT_TEMPLATE) {
		return error_set(err, ERR_UNAVAILABLE,
				 "there is no template of this shape yet; create one VM with boot "
				 "'auto' and wait for "
				 "operation template.build");
	}
	return 0;
}

/* The operation holds it. */
static void choose_snapshot(struct vm *vm, const struct verb_job *job, struct source *s)
{
	const struct snapshot *one = snapshots_held(vm->vms->c.snapshots, job->snapshot);

	s->fd = one ? snapshots_open(vm->vms->c.snapshots, one->id) : -ENOENT;
	if (s->fd < 0)
		return;
	s->kind = SOURCE_SNAPSHOT;
	s->with_memory = job->memory;
	s->made = one->made;
	s->verified = one->verified;
	(void)snprintf(s->id, sizeof(s->id), "%s", job->creating ? snapshot_origin(one) : one->id);
}

static int choose_suspended(const struct vm *vm, struct source *s, struct error *err)
{
	s->kind = SOURCE_SUSPENDED;
	s->with_memory = true;
	s->fd = suspend_open(vm);
	if (s->fd >= 0 && suspend_look(s->fd, &s->made, err) < 0)
		return error_to_errno(err);
	if (s->fd >= 0 && made_fits(vm->vms, &s->made, "the suspended memory", err) < 0)
		return error_wrap(err, "VM '%s' can't go on; kill it to boot from its disk",
				  vm->row.name);
	return 0;
}

int source_choose(struct vm *vm, const struct verb_job *job, struct source *ret_source,
		  struct error *err)
{
	struct source *s = ret_source;
	int r = 0;

	*s = SOURCE_INIT;
	if (job->snapshot[0])
		choose_snapshot(vm, job, s);
	else if (vm->state == VM_SUSPENDED)
		r = choose_suspended(vm, s, err);
	else
		return choose_template(vm, job, s, err);
	if (r == 0 && s->fd < 0)
		return error_errno(err, s->fd, "open what VM '%s' starts from", vm->row.name);
	return r;
}

/* --- using: on the worker --- */

struct use {
	const struct verb_job *job;
	const struct source *source;
};

static int mark_verified(struct vm *vm, void *data, struct error *err)
{
	const struct use *use = data;
	struct snapshot *snapshot = snapshots_held(vm->vms->c.snapshots, use->job->snapshot);

	(void)err;
	if (use->source->kind == SOURCE_TEMPLATE)
		templates_verified(vm->vms->c.templates, use->source->id);
	else if (use->source->kind == SOURCE_SNAPSHOT && snapshot)
		snapshot->verified = true;
	return 0;
}

/* A template can be made again, so a damaged one goes. */
static int drop_template(struct vm *vm, void *data, struct error *err)
{
	const struct use *use = data;
	struct error ignored;

	log_fields(LOG_ERROR, "a damaged template is removed", "template", use->source->id, "error",
		   err->msg, NULL);
	(void)!templates_delete(vm->vms->c.templates, use->source->id, "server", &ignored);
	return 0;
}

static unsigned int parts_to_check(const struct source *s)
{
	unsigned int parts = s->verified ? MADE_STATE : MADE_ALL;

	if (s->kind == SOURCE_SUSPENDED)
		parts = MADE_STATE | MADE_MEMORY;
	if (!s->with_memory && s->made.state_sha256[0])
		parts &= MADE_DISK;
	return parts;
}

int source_check(struct op *op, const struct verb_job *job, struct source *s, struct error *err)
{
	struct use use = { .job = job, .source = s };
	unsigned int parts = parts_to_check(s);
	int r;

	op_stage(op, "check");
	r = made_check(s->fd, &s->made, parts, err);
	if (r == 0)
		return parts != MADE_ALL ? 0 : vm_on_loop(job, mark_verified, &use, err);
	if (s->kind == SOURCE_SUSPENDED)
		return error_wrap(err, "the VM can't go on; kill it to boot from its disk");
	if (s->kind != SOURCE_TEMPLATE)
		return r;
	(void)!vm_on_loop(job, drop_template, &use, err);
	if (job->boot == BOOT_TEMPLATE)
		return r;
	*err = ERROR_INIT;
	source_done(s);
	return 0;
}

int source_copy_disk(const struct source *s, const char *path, struct error *err)
{
	autoclose int from = open_regular_beneath(s->fd, "work.ext4", O_RDONLY, 0);

	if (from < 0)
		return error_errno(err, from, "open the disk to copy");
	return disk_copy(from, path, err);
}

void source_done(struct source *s)
{
	close_keep_errno(s->fd);
	*s = SOURCE_INIT;
}
