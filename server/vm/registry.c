/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "server/vm/clock.h"
#include "server/vm/execs_internal.h"
#include "server/vm/forward_internal.h"
#include "server/vm/probe.h"
#include "server/vm/standby.h"
#include "server/vm/stats.h"
#include "server/vm/user_net.h"
#include "server/vm/vm_internal.h"

/* FNV-1a; the keys are names that users choose, but a chain is never longer than max_vms. */
static size_t bucket_of(const char *s)
{
	uint32_t h = 2166136261U;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619U;
	return h % BUCKETS;
}

struct vm *vm_new(struct vms *vms, const struct vm_row *row, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	size_t by_id = bucket_of(row->id);
	size_t by_name = bucket_of(row->name);
	const struct kernel_row *kernel = catalog_kernel_by_id(vms->c.catalog, row->kernel_id);

	if (!vm) {
		(void)error_errno(err, -ENOMEM, "VM");
		return NULL;
	}
	vm->vms = vms;
	vm->row = *row;
	(void)snprintf(vm->stored, sizeof(vm->stored), "%s", row->state);
	vm->proc = PROC_INIT;
	vm->wake_fd = -1;
	vm->net_fd = -1;
	vm->active_us = clock_mono_us();
	if (vm_state_parse(row->state, &vm->state) < 0 ||
	    vm_boot_init(vms, row, kernel ? kernel->cmdline : "", &vm->boot, err) < 0) {
		free(vm);
		return NULL;
	}
	vm->next_by_id = vms->by_id[by_id];
	vms->by_id[by_id] = vm;
	vm->next_by_name = vms->by_name[by_name];
	vms->by_name[by_name] = vm;
	vm->prev = vms->last;
	if (vms->last)
		vms->last->next = vm;
	else
		vms->first = vm;
	vms->last = vm;
	vms->count++;
	return vm;
}

static void unlink_vm(struct vm *vm)
{
	struct vms *vms = vm->vms;
	struct vm **p = &vms->by_id[bucket_of(vm->row.id)];

	while (*p != vm)
		p = &(*p)->next_by_id;
	*p = vm->next_by_id;
	p = &vms->by_name[bucket_of(vm->row.name)];
	while (*p != vm)
		p = &(*p)->next_by_name;
	*p = vm->next_by_name;
	if (vm->prev)
		vm->prev->next = vm->next;
	else
		vms->first = vm->next;
	if (vm->next)
		vm->next->prev = vm->prev;
	else
		vms->last = vm->prev;
	vms->count--;
}

void vm_free(struct vm *vm)
{
	unlink_vm(vm);
	vm_probe_end(vm);
	vm_execs_free(vm);
	vm_forwards_free(vm);
	guest_free(vm->guest);
	console_free(vm->console);
	vm_user_net_forget(vm);
	loop_fd_remove(vm->exit_source);
	loop_timer_free(vm->ttl_timer);
	loop_timer_free(vm->idle_timer);
	vm_holds_free(vm);
	standby_free(vm->standby);
	if (vm->stats)
		stats_history_done(vm->stats);
	free(vm->stats);
	proc_done(&vm->proc);
	json_decref(vm->stages);
	op_unref(vm->op);
	vm_boot_done(&vm->boot);
	free(vm);
}

struct vm *vms_find(struct vms *vms, const char *ref)
{
	size_t b = bucket_of(ref);

	for (struct vm *vm = vms->by_id[b]; vm; vm = vm->next_by_id)
		if (streq(vm->row.id, ref))
			return vm;
	for (struct vm *vm = vms->by_name[b]; vm; vm = vm->next_by_name)
		if (streq(vm->row.name, ref))
			return vm;
	return NULL;
}

int vms_get(struct vms *vms, const char *ref, struct vm **ret_vm, struct error *err)
{
	struct vm *vm = vms_find(vms, ref);

	if (!vm)
		return error_set(err, ERR_NOT_FOUND, "no VM '%s'", ref);
	*ret_vm = vm;
	return 0;
}

struct vm *vms_next(struct vms *vms, const struct vm *after)
{
	return after ? after->next : vms->first;
}

void vms_set_templates(struct vms *vms, struct templates *templates)
{
	vms->c.templates = templates;
}

void vms_set_snapshots(struct vms *vms, struct snapshots *snapshots)
{
	vms->c.snapshots = snapshots;
}

void vms_without_dns(struct vms *vms)
{
	__atomic_store_n(&vms->c.dns_port, 0, __ATOMIC_RELEASE);
}

size_t vms_count(const struct vms *vms)
{
	return vms->count;
}

const struct vm_row *vm_row(const struct vm *vm)
{
	return &vm->row;
}

enum vm_state vm_get_state(const struct vm *vm)
{
	return vm->state;
}

struct guest *vm_guest(struct vm *vm)
{
	return vm->guest;
}

struct console *vm_console(struct vm *vm)
{
	return vm->console;
}

bool vm_has_operation(const struct vm *vm)
{
	return vm->op && !op_ended(vm->op);
}

struct op *vm_last_operation(const struct vm *vm)
{
	return vm->op;
}

void vm_touch(struct vm *vm)
{
	vm->active_us = clock_mono_us();
}

int vm_console_log(struct vm *vm, char **ret_data, size_t *ret_len, struct error *err)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (dir == -ENOENT) {
		*ret_data = strdup("");
		*ret_len = 0;
		return *ret_data ? 0 : error_errno(err, -ENOMEM, "console log");
	}
	r = dir < 0 ? dir : console_read_log(dir, ret_data, ret_len);
	if (r < 0)
		return error_errno(err, r, "console log of VM '%s'", vm->row.name);
	return 0;
}

static int load_row(const struct vm_row *row, void *data, struct error *err)
{
	return vm_new(data, row, err) ? 0 : error_to_errno(err);
}

int vms_new(const struct vms_config *config, struct vms **ret_vms, struct error *err)
{
	struct vms *vms = calloc(1, sizeof(*vms));
	autofree char *state = path_join(config->state_dir, "vms");
	autofree char *run = path_join(config->runtime_dir, "vm");
	int r = 0;

	if (!vms || !state || !run) {
		free(vms);
		return error_errno(err, -ENOMEM, "VMs");
	}
	vms->c = *config;
	vms->vms_fd = open_dir_create(state, 0700);
	vms->run_fd = open_dir_create(run, 0700);
	if (vms->vms_fd < 0 || vms->run_fd < 0)
		r = error_errno(err, vms->vms_fd < 0 ? vms->vms_fd : vms->run_fd, "open %s and %s",
				state, run);
	if (r == 0)
		r = vms_each(config->store, load_row, vms, err);
	if (r == 0)
		r = vm_execs_load(vms, err);
	if (r == 0)
		r = vm_forwards_load(vms, err);
	if (r == 0)
		r = vm_holds_load(vms, err);
	if (r == 0)
		r = vms_reconcile(vms, err);
	if (r == 0)
		r = vms_check_begin(vms, err);
	if (r == 0)
		r = vms_clock_begin(vms, err);
	if (r < 0) {
		vms_free(vms);
		return r;
	}
	*ret_vms = vms;
	return 0;
}

void vms_free(struct vms *vms)
{
	if (!vms)
		return;
	vms_sampler_free(vms->sampler);
	loop_timer_free(vms->check_timer);
	loop_timer_free(vms->clock_timer);
	while (vms->first)
		vm_free(vms->first);
	close_keep_errno(vms->vms_fd);
	close_keep_errno(vms->run_fd);
	free(vms);
}
