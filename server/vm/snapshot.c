/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "server/vm/capture.h"
#include "server/vm/manifest.h"
#include "server/vm/snapshot_internal.h"
#include "server/vm/vm_internal.h"

static const struct manifest_field fields[] = {
	MANIFEST_FIELD(TEXT, snapshot, id),
	MANIFEST_FIELD(TEXT, snapshot, name),
	MANIFEST_FIELD(TEXT, snapshot, vm_id),
	MANIFEST_FIELD(TEXT, snapshot, vm_name),
	MANIFEST_FIELD(TEXT, snapshot, parent),
	MANIFEST_FIELD(TEXT, snapshot, image_id),
	MANIFEST_FIELD(TEXT, snapshot, image_name),
	MANIFEST_FIELD(TEXT, snapshot, kernel_id),
	MANIFEST_FIELD(NUMBER, snapshot, vcpus),
	MANIFEST_FIELD(NUMBER, snapshot, memory_mib),
	MANIFEST_FIELD(NUMBER, snapshot, disk_mib),
	MANIFEST_FIELD(TEXT, snapshot, network),
	MANIFEST_FIELD(TEXT, snapshot, init),
	MANIFEST_FIELD(BOOL, snapshot, memory),
	MANIFEST_FIELD(NUMBER, snapshot, created_ms),
	MANIFEST_FIELD(NUMBER, snapshot, size_bytes),
	MADE_FIELDS(snapshot),
};

int snapshot_read_manifest(int dir_fd, struct snapshot *ret_one)
{
	return manifest_read(dir_fd, fields, ARRAY_SIZE(fields), ret_one);
}

int snapshot_write_manifest(int dir_fd, const struct snapshot *one)
{
	return manifest_write(dir_fd, fields, ARRAY_SIZE(fields), one);
}

/* --- the list --- */

struct snapshot *snapshots_find(struct snapshots *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->list[i]->id, id) && !s->list[i]->dropped)
			return s->list[i];
	return NULL;
}

struct snapshot *snapshots_held(struct snapshots *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->list[i]->id, id))
			return s->list[i];
	return NULL;
}

struct snapshot *snapshots_at(struct snapshots *s, size_t i)
{
	return i < s->n ? s->list[i] : NULL;
}

static int by_age(const void *a, const void *b)
{
	const struct snapshot *const *x = a;
	const struct snapshot *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static struct snapshot *add(struct snapshots *s, const struct snapshot *one)
{
	struct snapshot **bigger = reallocarray(s->list, s->n + 1, sizeof(struct snapshot *));
	struct snapshot *copy = malloc(sizeof(*copy));

	if (bigger)
		s->list = bigger;
	if (!bigger || !copy) {
		free(copy);
		return NULL;
	}
	*copy = *one;
	s->list[s->n++] = copy;
	qsort(s->list, s->n, sizeof(struct snapshot *), by_age);
	return copy;
}

/*
 * What goes with its last user has a name of its own: a server that finds one at its start removes
 * it, as nobody uses it any more.
 */
static void held_name(const char *id, char name[ID_LEN + 8])
{
	(void)snprintf(name, ID_LEN + 8, "%s.held", id);
}

static int set_aside(const struct snapshots *s, const char *id)
{
	char held[ID_LEN + 8];

	held_name(id, held);
	return renameat(s->dir_fd, id, s->dir_fd, held) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_folder(const struct snapshots *s, const char *id)
{
	char held[ID_LEN + 8];
	int r = set_aside(s, id);

	held_name(id, held);
	return r < 0 ? r : remove_tree_at(s->dir_fd, held);
}

static void forget(struct snapshots *s, struct snapshot *one)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->list[i] != one)
			continue;
		memmove(&s->list[i], &s->list[i + 1], (s->n - i - 1) * sizeof(struct snapshot *));
		s->n--;
		free(one);
		return;
	}
}

int snapshots_open(const struct snapshots *s, const char *id)
{
	char held[ID_LEN + 8];
	int fd = id_valid(id) ? open_beneath(s->dir_fd, id, O_RDONLY | O_DIRECTORY, 0) : -ENOENT;

	if (fd != -ENOENT || !id_valid(id))
		return fd;
	held_name(id, held);
	return open_beneath(s->dir_fd, held, O_RDONLY | O_DIRECTORY, 0);
}

void snapshots_ref(struct snapshot *snapshot)
{
	snapshot->users++;
}

void snapshots_unref(struct snapshots *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++) {
		struct snapshot *one = s->list[i];
		int r;

		if (!streq(one->id, id))
			continue;
		if (--one->users > 0 || !one->dropped)
			return;
		r = remove_folder(s, id);
		if (r < 0)
			log_fields(LOG_WARN, "snapshot not removed", "snapshot", id, "error",
				   strerrordesc_np(-r), NULL);
		forget(s, one);
		return;
	}
}

/* Those that came after it come after what was before it. */
static int join_history(struct snapshots *s, const struct snapshot *gone, struct error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		struct snapshot *one = s->list[i];
		autoclose int dir = -1;
		int r;

		if (!streq(one->parent, gone->id))
			continue;
		dir = snapshots_open(s, one->id);
		memcpy(one->parent, gone->parent, sizeof(one->parent));
		r = dir < 0 ? dir : snapshot_write_manifest(dir, one);
		if (r < 0 && !one->dropped) {
			memcpy(one->parent, gone->id, sizeof(one->parent));
			return error_errno(err, r, "write the manifest of snapshot %s", one->id);
		}
	}
	for (struct vm *vm = vms_next(s->vms, NULL); vm; vm = vms_next(s->vms, vm))
		if (streq(vm->row.snapshot, gone->id))
			vm_stand_on(vm, gone->parent);
	return 0;
}

int snapshots_delete(struct snapshots *s, const char *id, const char *who, struct error *err)
{
	struct snapshot *one = snapshots_find(s, id);
	int r;

	if (!one)
		return error_set(err, ERR_NOT_FOUND, "no snapshot '%.64s'", id);
	if (join_history(s, one, err) < 0)
		return error_to_errno(err);
	r = set_aside(s, id);
	if (r < 0)
		return error_errno(err, r, "remove the folder of snapshot %s", id);
	events_emit(s->vms->c.events, &(struct event){ .kind = "snapshot.deleted",
						       .target = one->id,
						       .target_name = one->name,
						       .by = who });
	/* Who restores from it right now has time to finish. */
	one->dropped = true;
	snapshots_ref(one);
	snapshots_unref(s, id);
	return 0;
}

/* --- what must match --- */

int snapshots_check(const struct snapshots *s, const struct snapshot *one, struct error *err)
{
	struct error why;

	if (made_fits(s->vms, &one->made, "the snapshot's memory", &why) == 0)
		return 0;
	return error_set(err, ERR_STATE,
			 "%.400s (a VM from it with \"restore_memory\": false boots from its disk)",
			 why.msg);
}

/* --- taking one --- */

struct take {
	struct verb_job *job;
	struct snapshots *s;
	struct snapshot one;
	char staging[ID_LEN + 8];
	bool ephemeral;
	struct op *op;
};

static int describe(struct vm *vm, void *data, struct error *err)
{
	struct take *t = data;
	struct snapshot *one = &t->one;
	const struct vm_row *row = &vm->row;

	(void)err;
	t->s = vm->vms->c.snapshots;
	*one = (struct snapshot){ .vcpus = row->vcpus,
				  .memory_mib = row->memory_mib,
				  .disk_mib = row->disk_mib,
				  .memory = t->job->memory &&
					    (vm->state == VM_RUNNING || vm->state == VM_PAUSED),
				  .created_ms = clock_wall_ms() };
	(void)snprintf(one->id, sizeof(one->id), "%s", id_new().s);
	(void)snprintf(one->name, sizeof(one->name), "%s", t->job->name);
	(void)snprintf(one->vm_id, sizeof(one->vm_id), "%s", row->id);
	(void)snprintf(one->vm_name, sizeof(one->vm_name), "%s", row->name);
	(void)snprintf(one->parent, sizeof(one->parent), "%s", row->snapshot);
	(void)snprintf(one->image_id, sizeof(one->image_id), "%s", row->image_id);
	(void)snprintf(one->image_name, sizeof(one->image_name), "%s", row->image_name);
	(void)snprintf(one->kernel_id, sizeof(one->kernel_id), "%s", row->kernel_id);
	(void)snprintf(one->network, sizeof(one->network), "%s", row->network);
	(void)snprintf(one->init, sizeof(one->init), "%s", row->init);
	made_here(vm->vms, &one->made);
	(void)snprintf(t->staging, sizeof(t->staging), "%s.new", one->id);
	return 0;
}

int snapshot_publish(struct snapshots *s, const char *staging, const struct snapshot *one,
		     struct error *err)
{
	char name[ID_LEN + 8];

	if (one->dropped)
		held_name(one->id, name);
	else
		(void)snprintf(name, sizeof(name), "%s", one->id);
	if (renameat(s->dir_fd, staging, s->dir_fd, name) < 0)
		return error_errno(err, -errno, "publish the snapshot");
	if (!add(s, one)) {
		(void)!remove_folder(s, one->id);
		return error_errno(err, -ENOMEM, "snapshot");
	}
	return 0;
}

void snapshot_tell_added(struct snapshots *s, const struct snapshot *one, const char *who,
			 const char *op_id)
{
	events_emit(s->vms->c.events,
		    &(struct event){ .kind = "snapshot.added",
				     .target = one->id,
				     .target_name = one->name,
				     .by = who,
				     .operation = op_id,
				     .data = json_pack("{s:s}", "vm", one->vm_id) });
}

static int publish(struct vm *vm, void *data, struct error *err)
{
	struct take *t = data;
	int r;

	t->one.dropped = t->ephemeral;
	r = snapshot_publish(t->s, t->staging, &t->one, err);
	if (r < 0)
		return r;
	if (t->ephemeral) {
		snapshots_ref(snapshots_held(t->s, t->one.id));
		return 0;
	}
	vm_stand_on(vm, t->one.id);
	snapshot_tell_added(t->s, &t->one, t->job->who, op_id(t->op));
	return 0;
}

static int write_one(struct op *op, struct take *t, struct error *err)
{
	autoclose int dir = open_subdir(t->s->dir_fd, t->staging, 0700);
	struct capture capture = { .job = t->job,
				   .op = op,
				   .dir_fd = dir,
				   .parts = CAPTURE_DISK | (t->one.memory ? CAPTURE_MEMORY : 0U),
				   .resume = true,
				   .lasting = !t->ephemeral,
				   .made = &t->one.made };
	int r;

	if (dir < 0)
		return error_errno(err, dir, "make the snapshot's folder");
	r = capture_write(&capture, err);
	if (r < 0)
		return r;
	t->one.size_bytes = capture.size_bytes;
	r = snapshot_write_manifest(dir, &t->one);
	if (r < 0)
		return error_errno(err, r, "write the snapshot's manifest");
	op_stage(op, "publish");
	return vm_on_loop(t->job, publish, t, err);
}

static int take(struct op *op, struct take *t, struct error *err)
{
	int r = vm_on_loop(t->job, describe, t, err);

	if (r < 0)
		return r;
	t->op = op;
	r = write_one(op, t, err);
	if (r < 0)
		(void)!remove_tree_at(t->s->dir_fd, t->staging);
	return r;
}

static int run_take(struct op *op, void *data, struct error *err)
{
	struct take t = { .job = data };
	int r = take(op, &t, err);

	if (r == 0)
		op_set_result(op, json_pack("{s:s}", "snapshot", t.one.id));
	return r;
}

int snapshots_take(struct vm *vm, const char *name, bool memory, const char *who,
		   struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_SNAPSHOT, .memory = memory };

	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	(void)snprintf(job.name, sizeof(job.name), "%s", name ? name : "");
	return vm_submit_verb(vm, "vm.snapshot", run_take, &job, NULL, ret_op, err);
}

/* --- fork --- */

struct fork {
	struct take take;
	json_t *children;
};

static int create_children(struct vm *vm, void *data, struct error *err)
{
	struct fork *f = data;
	struct vms *vms = vm->vms;
	struct snapshot *one = snapshots_held(f->take.s, f->take.one.id);

	if (!one)
		return error_set(err, ERR_INTERNAL, "the capture is gone");
	for (uint32_t i = 0; i < f->take.job->count; i++) {
		struct vm_spec spec = {
			.nat = vm->row.nat, .open = !vm->row.isolated, .start = true, .source = one
		};
		struct error child_error;
		struct vm *child = NULL;
		struct op *op = NULL;

		if (vm_create(vms, &spec, f->take.job->who, &child, &op, &child_error) < 0)
			(void)json_array_append_new(f->children,
						    json_pack("{s:s}", "error", child_error.msg));
		else
			(void)json_array_append_new(f->children, json_pack("{s:s, s:s, s:s}", "id",
									   child->row.id, "name",
									   child->row.name,
									   "operation", op_id(op)));
	}
	snapshots_unref(f->take.s, one->id);
	return 0;
}

static int run_fork(struct op *op, void *data, struct error *err)
{
	struct fork f = { .take = { .job = data, .ephemeral = true } };
	int r = take(op, &f.take, err);

	if (r < 0)
		return r;
	op_stage(op, "children");
	f.children = json_array();
	r = vm_on_loop(data, create_children, &f, err);
	if (r < 0)
		json_decref(f.children);
	else
		op_set_result(op, json_pack("{s:o}", "children", f.children));
	return r;
}

int vm_fork(struct vm *vm, uint32_t count, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_FORK, .memory = true, .count = count };

	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit_verb(vm, "vm.fork", run_fork, &job, NULL, ret_op, err);
}

/* --- start and end --- */

static void load_one(struct snapshots *s, const char *name)
{
	autoclose int dir = snapshots_open(s, name);
	struct snapshot one = { .id = "" };

	if (dir >= 0 && snapshot_read_manifest(dir, &one) == 0 && streq(one.id, name)) {
		(void)add(s, &one);
		return;
	}
	/* Half-made or half-removed: only these carry a suffix. A damaged one stays for its owner
	 * to look at. */
	if (strchr(name, '.'))
		(void)!remove_tree_at(s->dir_fd, name);
	else
		log_fields(LOG_ERROR, "snapshot can't be read and is left alone", "snapshot", name,
			   NULL);
}

int snapshots_new(struct vms *vms, const char *state_dir, struct snapshots **ret_snapshots,
		  struct error *err)
{
	struct snapshots *s = calloc(1, sizeof(*s));
	autofree char *path = path_join(state_dir, "snapshots");
	const struct dirent *e;
	DIR *dir;

	if (!s || !path) {
		free(s);
		return error_errno(err, -ENOMEM, "snapshots");
	}
	s->vms = vms;
	s->dir = strdup(path);
	s->dir_fd = s->dir ? open_dir_create(path, 0700) : -ENOMEM;
	dir = s->dir_fd < 0 ? NULL : dir_entries(s->dir_fd);
	if (!dir) {
		int r = s->dir_fd < 0 ? s->dir_fd : -errno;

		snapshots_free(s);
		return error_errno(err, r, "read %s", path);
	}
	/* One DIR, one caller: what readdir(3) asks. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			load_one(s, e->d_name);
	(void)closedir(dir);
	*ret_snapshots = s;
	return 0;
}

void snapshots_free(struct snapshots *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
	free(s->dir);
	close_keep_errno(s->dir_fd);
	free(s);
}
