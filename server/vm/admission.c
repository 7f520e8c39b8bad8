/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host has room for one more. */
#include <errno.h>
#include <sys/statvfs.h>

#include "server/vm/vm_internal.h"

static uint64_t promised_mib(const struct vm *vm)
{
	bool counts = vm->state == VM_STARTING || vm->state == VM_RUNNING ||
		      vm->state == VM_PAUSED || vm->state == VM_STOPPING ||
		      (vm->state == VM_CREATED && streq(vm->row.desired, "running"));

	return counts ? (uint64_t)vm->row.memory_mib : 0;
}

uint64_t vms_memory_promised_mib(const struct vms *vms)
{
	uint64_t sum = 0;

	for (const struct vm *vm = vms->first; vm; vm = vm->next)
		sum += promised_mib(vm);
	return sum;
}

uint64_t vms_memory_limit_mib(const struct vms *vms)
{
	return vms->c.host_memory_mib * vms->c.overcommit_percent / 100;
}

static int admit_memory(const struct vms *vms, uint64_t promised, uint64_t memory_mib,
			struct error *err)
{
	uint64_t most = vms_memory_limit_mib(vms);

	if (promised + memory_mib <= most)
		return 0;
	return error_set(err, ERR_NO_ROOM,
			 "%llu MiB of memory wanted; %llu of %llu MiB are promised to VMs already "
			 "(%u%% of the host's %llu MiB; see vms.memory_overcommit_percent)",
			 (unsigned long long)memory_mib, (unsigned long long)promised,
			 (unsigned long long)most, vms->c.overcommit_percent,
			 (unsigned long long)vms->c.host_memory_mib);
}

int vms_disk_free_mib(const struct vms *vms, uint64_t *ret_mib)
{
	struct statvfs fs;

	if (fstatvfs(vms->vms_fd, &fs) < 0)
		return -errno;
	*ret_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
	return 0;
}

static int admit_disk(const struct vms *vms, struct error *err)
{
	uint64_t free_mib = 0;
	int r = vms_disk_free_mib(vms, &free_mib);

	if (r < 0)
		return error_errno(err, r, "room in %s", vms->c.state_dir);
	if (free_mib >= vms->c.disk_reserve_mib)
		return 0;
	return error_set(err, ERR_NO_ROOM,
			 "%llu MiB are free in %s; %llu are kept in reserve (vms.disk_reserve_mib)",
			 (unsigned long long)free_mib, vms->c.state_dir,
			 (unsigned long long)vms->c.disk_reserve_mib);
}

int vms_admit(const struct vms *vms, uint64_t memory_mib, struct error *err)
{
	int r = memory_mib ? admit_memory(vms, vms_memory_promised_mib(vms), memory_mib, err) : 0;

	return r < 0 ? r : admit_disk(vms, err);
}

int vm_admit(const struct vm *vm, struct error *err)
{
	uint64_t others = vms_memory_promised_mib(vm->vms) - promised_mib(vm);
	int r = admit_memory(vm->vms, others, (uint64_t)vm->row.memory_mib, err);

	return r < 0 ? r : admit_disk(vm->vms, err);
}
