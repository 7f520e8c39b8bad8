/* SPDX-License-Identifier: Apache-2.0 */
/* A new VM: everything that can be refused is refused here, before the row exists. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/store/workspaces.h"
#include "server/vm/network.h"
#include "server/vm/snapshot.h"
#include "server/vm/standby.h"
#include "server/vm/vm_internal.h"

enum { NAME_TRIES = 32 };

static const char *const adjectives[] = { "brisk", "calm",   "clear",  "crisp",  "eager", "fair",
					  "fleet", "fresh",  "gentle", "glad",   "keen",  "kind",
					  "light", "lively", "lucid",  "mellow", "neat",  "nimble",
					  "plain", "prime",  "quick",  "quiet",  "rapid", "ready",
					  "sharp", "sleek",  "smart",  "solid",  "sunny", "swift",
					  "tidy",  "warm" };
static const char *const nouns[] = { "otter", "heron", "lynx",   "maple",  "cedar",  "comet",
				     "delta", "ember", "finch",  "grove",  "harbor", "iris",
				     "jay",   "kite",  "lark",   "meadow", "newt",   "oak",
				     "pine",  "quail", "reef",   "river",  "spruce", "stone",
				     "tern",  "vale",  "willow", "wren",   "yarrow", "birch",
				     "coral", "dune" };

static int choose_name(struct vms *vms, char *name, size_t size, struct error *err)
{
	for (int i = 0; i < NAME_TRIES; i++) {
		const char *a = adjectives[arc4random_uniform(ARRAY_SIZE(adjectives))];
		const char *n = nouns[arc4random_uniform(ARRAY_SIZE(nouns))];

		if (i < NAME_TRIES / 2)
			(void)snprintf(name, size, "%s-%s", a, n);
		else
			(void)snprintf(name, size, "%s-%s-%u", a, n, arc4random_uniform(100000));
		if (!vms_find(vms, name))
			return 0;
	}
	return error_set(err, ERR_BUSY, "no free name found; give one");
}

static int fill_name(struct vms *vms, const struct vm_spec *spec, struct vm_row *row,
		     struct error *err)
{
	if (!spec->name)
		return choose_name(vms, row->name, sizeof(row->name), err);
	if (!dns_label_valid(spec->name))
		return error_set(err, ERR_INVALID,
				 "/name: '%.70s' is no DNS label (1 to 63 of a-z, 0-9 and -)",
				 spec->name);
	/* A name that looks like an id would make /vms/{vm} ambiguous. */
	if (id_valid(spec->name))
		return error_set(err, ERR_INVALID,
				 "/name: '%s' has the form of an id; choose another", spec->name);
	if (vms_find(vms, spec->name))
		return error_set(err, ERR_EXISTS, "/name: a VM named '%s' exists already",
				 spec->name);
	(void)snprintf(row->name, sizeof(row->name), "%s", spec->name);
	return 0;
}

/* Everything that memory and disk depend on comes from the snapshot. */
static int fill_from_snapshot(struct vms *vms, const struct vm_spec *spec, struct vm_row *row,
			      struct error *err)
{
	const struct snapshot *one = spec->source;

	if (!spec->start)
		return error_set(err, ERR_INVALID,
				 "/start: a VM from a snapshot is always started");
	if (!image_known(vms->c.paths, one->image_id))
		return error_set(err, ERR_STATE,
				 "/from_snapshot: image '%s' of the snapshot is gone; add it again",
				 one->image_name);
	if (!kernel_known(vms->c.paths, one->kernel_id))
		return error_set(
			err, ERR_STATE,
			"/from_snapshot: the kernel of the snapshot is gone; import it again");
	if (one->memory && !spec->disk_only && snapshots_check(vms->c.snapshots, one, err) < 0)
		return error_to_errno(err);
	(void)snprintf(row->image_id, sizeof(row->image_id), "%s", one->image_id);
	(void)snprintf(row->image_name, sizeof(row->image_name), "%s", one->image_name);
	(void)snprintf(row->kernel_id, sizeof(row->kernel_id), "%s", one->kernel_id);
	return 0;
}

/* An image that brings an init of its own says so in its configuration. */
static const char *default_init(const struct image_row *image)
{
	json_auto_t *config = json_loads(image->config, 0, NULL);
	const char *init = json_string_value(json_object_get(config, "init"));

	return init && streq(init, "system") ? "system" : "agent";
}

static int fill_image(struct vms *vms, const struct vm_spec *spec, struct vm_row *row,
		      struct error *err)
{
	const struct image_row *image = spec->image ? catalog_image(vms->c.catalog, spec->image)
						    : catalog_default_image(vms->c.catalog);
	const struct kernel_row *kernel = spec->kernel
						  ? catalog_kernel(vms->c.catalog, spec->kernel)
						  : catalog_default_kernel(vms->c.catalog);

	if (spec->source)
		return fill_from_snapshot(vms, spec, row, err);
	if (!image && spec->image)
		return error_set(
			err, ERR_NOT_FOUND,
			"/image: no image '%.255s'; see GET /images, add one with POST /images",
			spec->image);
	if (!image)
		return error_set(err, ERR_UNAVAILABLE,
				 "/image: there is none yet; add one with POST /images {\"build\": "
				 "\"mini\"}");
	if (!kernel && spec->kernel)
		return error_set(err, ERR_NOT_FOUND,
				 "/kernel: no kernel '%.127s'; see GET /kernels", spec->kernel);
	if (!kernel)
		return error_set(
			err, ERR_UNAVAILABLE,
			"/kernel: there is none yet; add one with POST /kernels {\"import\": "
			"\"debian-cloud\"}");
	(void)snprintf(row->image_id, sizeof(row->image_id), "%s", image->id);
	(void)snprintf(row->image_name, sizeof(row->image_name), "%s", image->name);
	(void)snprintf(row->kernel_id, sizeof(row->kernel_id), "%s", kernel->id);
	(void)snprintf(row->init, sizeof(row->init), "%s",
		       spec->init ? spec->init : default_init(image));
	return 0;
}

static int check_size(const struct vms *vms, const struct vm_row *row, struct error *err)
{
	if ((uint64_t)row->memory_mib > vms->c.host_memory_mib)
		return error_set(err, ERR_INVALID,
				 "/memory_mib: %lld MiB is more than the host has (%llu MiB)",
				 (long long)row->memory_mib,
				 (unsigned long long)vms->c.host_memory_mib);
	return 0;
}

static int fill_size(const struct vms *vms, const struct vm_spec *spec, struct vm_row *row,
		     struct error *err)
{
	row->vcpus = spec->vcpus ? spec->vcpus : vms->c.vcpus;
	row->memory_mib = spec->memory_mib ? spec->memory_mib : vms->c.memory_mib;
	row->disk_mib = spec->disk_mib ? spec->disk_mib : vms->c.disk_mib;
	if (spec->source) {
		row->vcpus = spec->source->vcpus;
		row->memory_mib = spec->source->memory_mib;
		row->disk_mib = spec->source->disk_mib;
	}
	(void)snprintf(row->network, sizeof(row->network), "%s",
		       spec->source    ? spec->source->network
		       : spec->network ? spec->network
				       : vms->c.default_network);
	return check_size(vms, row, err);
}

static int admit(const struct vms *vms, const struct vm_spec *spec, const struct vm_row *row,
		 struct error *err)
{
	if (vms->count >= vms->c.max_vms)
		return error_set(err, ERR_NO_ROOM, "there are %zu VMs; at most %u are allowed",
				 vms->count, vms->c.max_vms);
	return vms_admit(vms, spec->start ? (uint64_t)row->memory_mib : 0, err);
}

int vm_shape(struct vms *vms, const struct vm_spec *spec, struct vm_row *ret_row, struct error *err)
{
	struct vm_row row = { 0 };
	int r = fill_image(vms, spec, &row, err);

	if (r == 0)
		r = fill_size(vms, spec, &row, err);
	if (r == 0 && streq(row.network, "bridge"))
		r = vm_network_check(vms, err);
	if (r == 0)
		*ret_row = row;
	return r;
}

static enum boot_policy boot_policy(const char *word)
{
	if (!word || streq(word, "auto"))
		return BOOT_AUTO;
	return streq(word, "cold") ? BOOT_COLD : BOOT_TEMPLATE;
}

/* The key of the template that a VM of this row would start from, or "". */
static void template_key(struct vms *vms, const struct vm_spec *spec, const struct vm_row *row,
			 char key[TEMPLATE_KEY_LEN + 1])
{
	key[0] = '\0';
	if (vms->c.templates && spec->start && !spec->source &&
	    boot_policy(spec->boot) != BOOT_COLD)
		templates_key(vms->c.templates, row, key);
}

const char *vm_ready_id(struct vms *vms, const struct vm_spec *spec)
{
	char key[TEMPLATE_KEY_LEN + 1];
	struct error ignored;
	struct vm_row row;

	if (spec->source || vm_shape(vms, spec, &row, &ignored) < 0)
		return NULL;
	template_key(vms, spec, &row, key);
	return key[0] ? standby_id(templates_standbys(vms->c.templates), key) : NULL;
}

static void take_standby(struct vm *vm, const struct vm_spec *spec)
{
	char key[TEMPLATE_KEY_LEN + 1];

	template_key(vm->vms, spec, &vm->row, key);
	if (key[0])
		vm->standby =
			standby_take(templates_standbys(vm->vms->c.templates), key, vm->row.id);
}

static int fill_rest(struct vms *vms, const struct vm_spec *spec, struct vm_row *row,
		     struct error *err)
{
	const char *id = spec->id;
	autofree char *labels = spec->labels ? json_text(spec->labels) : strdup("{}");

	if (!labels)
		return error_errno(err, -ENOMEM, "labels");
	if (strlen(labels) >= sizeof(row->labels))
		return error_set(err, ERR_INVALID, "/labels: %zu bytes; at most %zu are kept",
				 strlen(labels), sizeof(row->labels) - 1);
	(void)snprintf(row->labels, sizeof(row->labels), "%s", labels);
	if (!id)
		id = vm_ready_id(vms, spec);
	(void)snprintf(row->id, sizeof(row->id), "%s", id ? id : id_new().s);
	(void)snprintf(row->state, sizeof(row->state), "created");
	(void)snprintf(row->desired, sizeof(row->desired), "%s",
		       spec->start ? "running" : "stopped");
	if (spec->source) {
		(void)snprintf(row->init, sizeof(row->init), "%s", spec->source->init);
		/* What a fork is made from is gone with its last child. */
		(void)snprintf(row->snapshot, sizeof(row->snapshot), "%s",
			       spec->source->dropped ? spec->source->parent : spec->source->id);
		/* From now on: a crash must not make another VM of it, with an empty disk. */
		(void)snprintf(row->booted_from, sizeof(row->booted_from), "%s",
			       snapshot_origin(spec->source));
	}
	row->nat = spec->nat;
	row->isolated = !spec->open;
	row->created_ms = clock_wall_ms();
	row->since_ms = row->created_ms;
	row->idle_stop_s = spec->idle_stop_s;
	row->idle_suspend_s = spec->idle_suspend_s;
	(void)snprintf(row->wake, sizeof(row->wake), "%s", spec->wake ? spec->wake : "auto");
	row->ends_ms = spec->ttl_s ? row->created_ms + (int64_t)spec->ttl_s * 1000 : 0;
	return streq(row->network, "bridge") ? vm_network_check(vms, err) : 0;
}

static int submit_create(struct vm *vm, const struct vm_spec *spec, const char *who,
			 struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_START,
				.creating = true,
				.boot = boot_policy(spec->boot) };
	struct error ignored;
	int r;

	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	if (spec->source) {
		(void)snprintf(job.snapshot, sizeof(job.snapshot), "%s", spec->source->id);
		job.memory = spec->source->memory && !spec->disk_only;
		job.own_identity = true;
		r = vm_submit_holding(vm, "vm.create", vm_run_start, &job, spec->source, ret_op,
				      err);
	} else {
		r = vm_submit(vm, "vm.create", vm_run_start, &job, ret_op, err);
	}
	if (r < 0 && vms_delete(vm->vms->c.store, vm->row.id, &ignored) < 0)
		vm_delete_later(vm, who, NULL, &ignored);
	else if (r < 0)
		vm_free(vm);
	return r;
}

int vm_create(struct vms *vms, const struct vm_spec *spec, const char *who, struct vm **ret_vm,
	      struct op **ret_op, struct error *err)
{
	struct vm_row row = { 0 };
	struct error ignored;
	struct vm *vm;
	int r = fill_name(vms, spec, &row, err);

	if (r == 0)
		r = fill_image(vms, spec, &row, err);
	if (r == 0)
		r = fill_size(vms, spec, &row, err);
	if (r == 0)
		r = admit(vms, spec, &row, err);
	if (r == 0)
		r = fill_rest(vms, spec, &row, err);
	if (r == 0)
		r = vms_insert(vms->c.store, &row, err);
	if (r < 0)
		return r;
	if (spec->source)
		r = workspaces_copy(vms->c.store, row.id, spec->source->vm_id, err);
	vm = r == 0 ? vm_new(vms, &row, err) : NULL;
	if (!vm) {
		(void)!vms_delete(vms->c.store, row.id, &ignored);
		return error_to_errno(err);
	}
	events_emit(vms->c.events,
		    &(struct event){ .kind = "vm.created",
				     .target = row.id,
				     .target_name = row.name,
				     .by = who,
				     .data = json_pack("{s:s}", "image", row.image_name) });
	*ret_vm = vm;
	*ret_op = NULL;
	take_standby(vm, spec);
	vm_arm_ttl(vm);
	return spec->start ? submit_create(vm, spec, who, ret_op, err) : 0;
}
