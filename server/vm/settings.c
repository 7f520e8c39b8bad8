/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be changed of a VM that exists. Sizes and network are what a VMM is started with: they
 * can change while there is none. A disk only grows; the guest's agent grows the file system in it
 * at the next boot, so that the host never reads what a guest has written.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "server/vm/settings.h"
#include "server/vm/vm_internal.h"

static bool has_no_process(const struct vm *vm)
{
	return vm->state == VM_CREATED || vm->state == VM_STOPPED || vm->state == VM_FAILED;
}

static int check_state(const struct vm *vm, const struct vm_change *c, struct error *err)
{
	char fields[64] = "";
	size_t n = 0;

	if (vm->state == VM_DELETING)
		return error_set(err, ERR_STATE, "VM '%s' is being deleted", vm->row.name);
	if (has_no_process(vm) && (!vm->op || op_ended(vm->op)))
		return 0;
#define NAME(given, word)                                                             \
	do {                                                                          \
		if ((given) && n < sizeof(fields))                                    \
			n += (size_t)snprintf(fields + n, sizeof(fields) - n, "%s%s", \
					      n ? ", " : "", (word));                 \
	} while (0)
	NAME(c->vcpus, "vcpus");
	NAME(c->memory_mib, "memory_mib");
	NAME(c->disk_mib, "disk_mib");
	NAME(c->nat >= 0 && (c->nat != 0) != vm->row.nat, "nat");
#undef NAME
	if (n == 0)
		return 0;
	return error_set(err, ERR_STATE,
			 "/%.*s: VM '%s' is %s; %s can change only while it is stopped (labels, "
			 "ttl_s, idle_stop_s, idle_suspend_s and wake always can)",
			 (int)strcspn(fields, ","), fields, vm->row.name, vm_state_name(vm->state),
			 fields);
}

static int check_values(const struct vm *vm, const struct vm_change *c, struct error *err)
{
	if (c->memory_mib > vm->vms->c.host_memory_mib)
		return error_set(err, ERR_INVALID,
				 "/memory_mib: %u MiB is more than the host has (%llu MiB)",
				 c->memory_mib, (unsigned long long)vm->vms->c.host_memory_mib);
	if (c->disk_mib && (int64_t)c->disk_mib < vm->row.disk_mib)
		return error_set(err, ERR_INVALID,
				 "/disk_mib: %u MiB is less than it has (%lld MiB); a disk only "
				 "grows",
				 c->disk_mib, (long long)vm->row.disk_mib);
	return 0;
}

int vm_set_check(const struct vm *vm, const struct vm_change *change, struct error *err)
{
	struct vm_change c = *change;
	int r;

	c.nat = -1;
	r = check_state(vm, &c, err);
	return r < 0 ? r : check_values(vm, &c, err);
}

static int fill_row(struct vm_row *row, const struct vm_change *c, struct error *err)
{
	autofree char *labels = c->labels ? json_text(c->labels) : NULL;

	if (c->labels && !labels)
		return error_errno(err, -ENOMEM, "labels");
	if (labels && strlen(labels) >= sizeof(row->labels))
		return error_set(err, ERR_INVALID, "/labels: %zu bytes; at most %zu are kept",
				 strlen(labels), sizeof(row->labels) - 1);
	if (labels)
		(void)snprintf(row->labels, sizeof(row->labels), "%s", labels);
	if (c->vcpus)
		row->vcpus = c->vcpus;
	if (c->memory_mib)
		row->memory_mib = c->memory_mib;
	if (c->disk_mib)
		row->disk_mib = c->disk_mib;
	if (c->nat >= 0)
		row->nat = c->nat != 0;
	if (c->ttl_s >= 0)
		row->ends_ms = c->ttl_s ? clock_wall_ms() + c->ttl_s * 1000 : 0;
	if (c->idle_stop_s >= 0)
		row->idle_stop_s = c->idle_stop_s;
	if (c->idle_suspend_s >= 0)
		row->idle_suspend_s = c->idle_suspend_s;
	if (c->wake)
		(void)snprintf(row->wake, sizeof(row->wake), "%s", c->wake);
	return 0;
}

/* A VM that never started has no disk yet. */
static int grow_disk(const struct vm *vm, uint32_t disk_mib, struct error *err)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);
	autoclose int disk = -1;

	if (dir == -ENOENT)
		return 0;
	disk = dir < 0 ? dir : open_regular_beneath(dir, "work.ext4", O_RDWR, 0);
	if (disk == -ENOENT)
		return 0;
	if (disk < 0)
		return error_errno(err, disk, "open the disk of VM '%s'", vm->row.name);
	if (ftruncate(disk, (off_t)disk_mib * 1024 * 1024) < 0)
		return error_errno(err, -errno, "grow the disk of VM '%s'", vm->row.name);
	return 0;
}

static void note(json_t *changes, const char *field, json_t *from, json_t *to)
{
	if (!json_equal(from, to))
		(void)json_object_set_new(changes, field,
					  json_pack("{s:O, s:O}", "from", from, "to", to));
	json_decref(from);
	json_decref(to);
}

static json_t *time_or_null(int64_t wall_ms)
{
	char when[32];

	return wall_ms ? json_string(clock_format_ms(wall_ms, when)) : json_null();
}

/* Each field that is another, as it was and as it is. */
static json_t *changes_of(const struct vm_row *from, const struct vm_row *to)
{
	json_t *o = json_object();

#define NUMBER(field) note(o, #field, json_integer(from->field), json_integer(to->field))
	NUMBER(vcpus);
	NUMBER(memory_mib);
	NUMBER(disk_mib);
	NUMBER(idle_stop_s);
	NUMBER(idle_suspend_s);
#undef NUMBER
	note(o, "nat", json_boolean(from->nat), json_boolean(to->nat));
	note(o, "wake", json_string(from->wake), json_string(to->wake));
	note(o, "expires", time_or_null(from->ends_ms), time_or_null(to->ends_ms));
	note(o, "labels", json_loads(from->labels, 0, NULL), json_loads(to->labels, 0, NULL));
	return o;
}

int vm_set(struct vm *vm, const struct vm_change *c, const char *who, struct error *err)
{
	struct vm_row row = vm->row;
	json_auto_t *changes = NULL;
	int r = check_state(vm, c, err);

	if (r == 0)
		r = check_values(vm, c, err);
	if (r == 0)
		r = fill_row(&row, c, err);
	/* The disk first: a row that promises more than there is would be wrong for ever, a disk
	 * that is larger than its row is grown into by the next change. */
	if (r == 0 && c->disk_mib)
		r = grow_disk(vm, c->disk_mib, err);
	if (r == 0)
		r = vms_set_spec(vm->vms->c.store, &row, err);
	if (r < 0)
		return r;
	changes = changes_of(&vm->row, &row);
	vm->row = row;
	if (c->ttl_s >= 0)
		vm_arm_ttl(vm);
	if (c->idle_stop_s >= 0 || c->idle_suspend_s >= 0)
		vm_arm_idle(vm);
	events_emit(vm->vms->c.events,
		    &(struct event){ .kind = "vm.changed",
				     .target = vm->row.id,
				     .target_name = vm->row.name,
				     .by = who,
				     .data = json_pack("{s:O}", "changes", changes) });
	return 0;
}
