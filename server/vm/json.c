/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"
#include "server/vm/execs.h"
#include "server/vm/idle.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

static void set_text(json_t *o, const char *name, const char *text)
{
	if (text && text[0])
		(void)json_object_set_new(o, name, json_string(text));
}

static void set_time(json_t *o, const char *name, int64_t wall_ms)
{
	char when[32];

	if (wall_ms)
		(void)json_object_set_new(o, name, json_string(clock_format_ms(wall_ms, when)));
}

static void add_addresses(json_t *o, const struct vm *vm)
{
	const struct address_plan *plan = &vm->vms->plan;
	uint32_t address = (uint32_t)vm->row.address;
	char text[ADDRESS_TEXT];
	uint8_t v6[16];

	if (!streq(vm->row.network, "bridge"))
		return;
	(void)json_object_set_new(o, "isolated", json_boolean(vm->row.isolated));
	if (!address)
		return;
	set_text(o, "ip", address_format(address, text));
	if (!plan->prefix)
		return;
	address_v6(plan, address, v6);
	set_text(o, "ip6", address_format_v6(v6, text));
}

static json_t *limits_json(const struct vm *vm)
{
	const struct cgroup_limits l =
		cgroup_limits_of((uint32_t)vm->row.vcpus, (uint32_t)vm->row.memory_mib,
				 vm->row.accel == VMM_ACCEL_TCG);

	return json_pack("{s:I, s:I, s:I}", "memory_bytes", (json_int_t)l.memory_bytes,
			 "cpu_percent", (json_int_t)l.cpu_percent, "processes", (json_int_t)l.pids);
}

json_t *vm_to_json(struct vm *vm)
{
	const struct vm_row *row = &vm->row;
	const struct kernel_row *kernel = catalog_kernel_by_id(vm->vms->c.catalog, row->kernel_id);
	json_t *o = json_object();
	json_t *labels = json_loads(row->labels, 0, NULL);

	set_text(o, "id", row->id);
	set_text(o, "name", row->name);
	set_text(o, "state", vm_state_name(vm->state));
	set_text(o, "desired", row->desired);
	set_text(o, "reason", row->reason);
	set_time(o, "since", row->since_ms);
	set_text(o, "image", row->image_name);
	set_text(o, "kernel", kernel ? kernel->name : "");
	set_text(o, "vmm", row->vmm);
	(void)json_object_set_new(o, "vcpus", json_integer(row->vcpus));
	(void)json_object_set_new(o, "memory_mib", json_integer(row->memory_mib));
	(void)json_object_set_new(o, "disk_mib", json_integer(row->disk_mib));
	if (vm->limited && vm->proc.pidfd >= 0)
		(void)json_object_set_new(o, "limits", limits_json(vm));
	(void)json_object_set_new(o, "labels", labels ? labels : json_object());
	set_text(o, "network", row->network);
	(void)json_object_set_new(o, "nat", json_boolean(row->nat));
	add_addresses(o, vm);
	set_text(o, "init", row->init);
	set_text(o, "booted_from", row->booted_from);
	set_text(o, "snapshot", row->snapshot);
	set_time(o, "created", row->created_ms);
	set_time(o, "started", row->started_ms);
	set_time(o, "expires", row->ends_ms);
	if (row->idle_stop_s)
		(void)json_object_set_new(o, "idle_stop_s", json_integer(row->idle_stop_s));
	if (row->idle_suspend_s)
		(void)json_object_set_new(o, "idle_suspend_s", json_integer(row->idle_suspend_s));
	set_text(o, "wake", row->wake);
	set_time(o, "sleeps", vm_sleeps_ms(vm));
	if (vm->op && !op_ended(vm->op))
		set_text(o, "operation", op_id(vm->op));
	if (vm->stages)
		(void)json_object_set(o, "stages", vm->stages);
	return o;
}

/* An operation that ends tells an event, and so does all that is written; the time until a VM
 * sleeps grows with everything that is done in it. */
bool vm_is_changing(const struct vm *vm)
{
	return vm_has_operation(vm) || vm_sleeps_ms(vm) != 0;
}

uint64_t vms_version(const struct vms *vms)
{
	return store_changes(vms->c.store) + (uint64_t)events_last(vms->c.events) + vms->untold;
}

static json_t *number_or_null(bool there, int64_t n)
{
	return there ? json_integer(n) : json_null();
}

json_t *vm_exec_to_json(struct vm_exec *exec)
{
	const struct exec_row *row = vm_exec_row(exec);
	bool exited = row->exit_code >= 0;
	json_t *argv = json_loads(row->argv, 0, NULL);
	json_t *o = json_object();

	set_text(o, "id", row->id);
	set_text(o, "vm", row->vm_id);
	set_text(o, "state", row->state);
	set_text(o, "reason", row->reason);
	(void)json_object_set_new(o, "argv", argv ? argv : json_array());
	set_text(o, "user", row->user);
	(void)json_object_set_new(o, "tty", json_boolean(row->tty));
	(void)json_object_set_new(o, "temporary", json_boolean(row->temporary));
	(void)json_object_set_new(o, "pid", number_or_null(row->pid > 0, row->pid));
	(void)json_object_set_new(o, "exit_code", number_or_null(exited, row->exit_code));
	(void)json_object_set_new(o, "signal", number_or_null(row->signal > 0, row->signal));
	(void)json_object_set_new(o, "timed_out", json_boolean(row->timed_out));
	(void)json_object_set_new(o, "output_bytes", json_integer((json_int_t)vm_exec_end(exec)));
	set_text(o, "by", row->by);
	set_time(o, "created", row->created_ms);
	set_time(o, "started", row->started_ms);
	set_time(o, "ended", row->ended_ms);
	return o;
}
