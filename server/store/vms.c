/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/vms.h"

#include <assert.h>

#include "server/store/store_internal.h"

int vms_insert(struct store *store, const struct vm_row *v, struct error *err)
{
	int r = store_change(store, STMT_VM_INSERT, err, "ttttittttiiititttiiitttiiiiitii", v->id,
			     v->name, v->state, v->reason, v->since_ms, v->desired, v->image_id,
			     v->image_name, v->kernel_id, v->vcpus, v->memory_mib, v->disk_mib,
			     v->network, (int64_t)v->nat, v->init, v->labels, v->vmm, v->accel,
			     v->pid, v->start_time, v->boot_id, v->booted_from, v->snapshot,
			     v->created_ms, v->started_ms, v->ends_ms, v->idle_stop_s,
			     v->idle_suspend_s, v->wake, (int64_t)v->isolated, v->address);

	if (r < 0 && err->code == ERR_EXISTS)
		return error_set(err, ERR_EXISTS, "/name: a VM named '%s' exists already", v->name);
	return r < 0 ? r : 0;
}

/* One row must have changed; none means that somebody else was quicker. */
static int one_row(int changed, const char *id, struct error *err)
{
	if (changed < 0)
		return changed;
	if (changed != 1)
		return error_set(err, ERR_STATE, "VM %s is not in the expected state any more", id);
	return 0;
}

int vms_set_state(struct store *store, const struct vm_row *v, const char *from, struct error *err)
{
	/* The one that may take the room kept for it. */
	enum statement which =
		streq(v->state, "deleting") ? STMT_VM_SET_DELETING : STMT_VM_SET_STATE;

	return one_row(store_change(store, which, err, "tttitt", v->id, v->state, v->reason,
				    v->since_ms, v->desired, from),
		       v->id, err);
}

int vms_set_process(struct store *store, const struct vm_row *v, struct error *err)
{
	return one_row(store_change(store, STMT_VM_SET_PROCESS, err, "ttiiittit", v->id, v->vmm,
				    v->accel, v->pid, v->start_time, v->boot_id, v->booted_from,
				    v->started_ms, v->snapshot),
		       v->id, err);
}

int vms_set_spec(struct store *store, const struct vm_row *v, struct error *err)
{
	return one_row(store_change(store, STMT_VM_SET_SPEC, err, "ttiiiitiiiti", v->id, v->name,
				    v->vcpus, v->memory_mib, v->disk_mib, (int64_t)v->nat,
				    v->labels, v->ends_ms, v->idle_stop_s, v->idle_suspend_s,
				    v->wake, v->address),
		       v->id, err);
}

int vms_delete(struct store *store, const char *id, struct error *err)
{
	int r = store_change(store, STMT_VM_DELETE, err, "t", id);

	return r < 0 ? r : 0;
}

static void read_row(sqlite3_stmt *s, struct vm_row *v)
{
	int c = 0;

#define TEXT(field) store_copy(s, c++, v->field, sizeof(v->field))
#define INT(field)  v->field = sqlite3_column_int64(s, c++)
	TEXT(id);
	TEXT(name);
	TEXT(state);
	TEXT(reason);
	INT(since_ms);
	TEXT(desired);
	TEXT(image_id);
	TEXT(image_name);
	TEXT(kernel_id);
	INT(vcpus);
	INT(memory_mib);
	INT(disk_mib);
	TEXT(network);
	v->nat = sqlite3_column_int64(s, c++) != 0;
	TEXT(init);
	TEXT(labels);
	TEXT(vmm);
	INT(accel);
	INT(pid);
	INT(start_time);
	TEXT(boot_id);
	TEXT(booted_from);
	TEXT(snapshot);
	INT(created_ms);
	INT(started_ms);
	INT(ends_ms);
	INT(idle_stop_s);
	INT(idle_suspend_s);
	TEXT(wake);
	v->isolated = sqlite3_column_int64(s, c++) != 0;
	INT(address);
#undef TEXT
#undef INT
	assert(c == sqlite3_column_count(s));
}

int vms_each(struct store *store, vms_each_fn *fn, void *data, struct error *err)
{
	sqlite3_stmt *s = store->stmt[STMT_VM_LIST];
	int r;

	while ((r = store_step(store, STMT_VM_LIST, err)) > 0) {
		struct vm_row row = { 0 };

		read_row(s, &row);
		r = fn(&row, data, err);
		if (r < 0)
			break;
	}
	store_reset(store, STMT_VM_LIST);
	return r;
}
