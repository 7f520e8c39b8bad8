/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/link/protocol.h"
#include "server/vm/jail.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

/* A locally administered address made from the id's random half: the same VM always has the same.
 */
static void mac_of(const char *id, char mac[18])
{
	uint32_t h = 2166136261U;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619U;
	(void)snprintf(mac, 18, "02:ba:%02x:%02x:%02x:%02x", h >> 24, (h >> 16) & 0xff,
		       (h >> 8) & 0xff, h & 0xff);
}

void vm_boot_id_new(char ret_id[40])
{
	unsigned char b[16];

	arc4random_buf(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122: version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	(void)snprintf(ret_id, 40,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}

static char *cmdline_of(const struct vm_row *row, const char *kernel_cmdline)
{
	static const char user_net[] =
		" " LINK_WORD_NET VMM_USER_NET_ADDRESS "/" VMM_USER_NET_PREFIX
		",gw=" VMM_USER_NET_GATEWAY ",dns=" VMM_USER_NET_DNS;
	char *s = NULL;
	int n = asprintf(&s, "%s%s" LINK_WORD_HOSTNAME "%s " LINK_WORD_INIT "%s%s", kernel_cmdline,
			 kernel_cmdline[0] ? " " : "", row->name, row->init,
			 streq(row->network, "user") ? user_net : "");

	return n < 0 ? NULL : s;
}

static enum vmm_net_mode net_mode(const char *network)
{
	if (streq(network, "user"))
		return VMM_NET_USER;
	return streq(network, "bridge") ? VMM_NET_TAP : VMM_NET_NONE;
}

static void fill_config(struct vm_boot *b, const struct vms *vms, const struct vm_row *row)
{
	b->config = (struct vmm_config){
		.id = row->id,
		.name = row->name,
		.run_dir = b->run_dir,
		.vcpus = (uint32_t)row->vcpus,
		.memory_mib = (uint32_t)row->memory_mib,
		.accel = vms->c.accel,
		.kernel = b->kernel,
		.cmdline = b->cmdline,
		.disks = { { .serial = LINK_DISK_ROOT, .path = b->rootfs, .read_only = true },
			   { .serial = LINK_DISK_WORK, .path = b->work } },
		.n_disks = 2,
		.net = { .mode = net_mode(row->network),
			 .mac = b->mac,
			 .tap_fd = -1,
			 .restrict_out = !row->nat },
		.libexec = vms->c.paths->libexec,
	};
}

int vm_boot_init(const struct vms *vms, const struct vm_row *row, const char *kernel_cmdline,
		 struct vm_boot *ret_boot, struct error *err)
{
	struct vm_boot b CLEANUP(vm_boot_done) = { .config.net.tap_fd = -1 };

	if (asprintf(&b.dir, "%s/vms/%s", vms->c.state_dir, row->id) < 0)
		b.dir = NULL;
	if (asprintf(&b.run_dir, "%s/vm/%s", vms->c.runtime_dir, row->id) < 0)
		b.run_dir = NULL;
	b.rootfs = image_rootfs_path(vms->c.paths, row->image_id);
	b.kernel = kernel_vmlinux_path(vms->c.paths, row->kernel_id);
	b.work = b.dir ? path_join(b.dir, "work.ext4") : NULL;
	b.cmdline = cmdline_of(row, kernel_cmdline);
	mac_of(row->id, b.mac);
	if (!b.dir || !b.run_dir || !b.rootfs || !b.kernel || !b.work || !b.cmdline)
		return error_errno(err, -ENOMEM, "VM %s", row->name);
	fill_config(&b, vms, row);
	if (vm_jail_fill(vms, row->pid ? vmm_find(row->vmm) : vms->c.driver, &b) < 0)
		return error_errno(err, -ENOMEM, "VM %s", row->name);
	vm_boot_move(ret_boot, &b);
	return 0;
}

int vm_boot_mend(const struct vms *vms, const char *image_id, const char *kernel_id, struct op *op,
		 struct error *err)
{
	const struct registry_settings *registry = catalog_registry(vms->c.catalog);
	int r = image_mend(vms->c.paths, registry, image_id, op, err);

	return r < 0 ? r : kernel_mend(vms->c.paths, registry, kernel_id, op, err);
}

int vm_limit(const struct vms *vms, const char *id, struct vm_boot *boot, struct error *err)
{
	struct vmm_config *c = &boot->config;
	const struct cgroup_limits limits =
		cgroup_limits_of(c->vcpus, c->memory_mib, c->accel == VMM_ACCEL_TCG);
	int r;

	if (!vms->c.cgroup_dir || c->jail)
		return 0;
	r = cgroup_create(vms->c.cgroup_dir, id, &limits, &boot->cgroup_procs, err);
	c->cgroup_procs = boot->cgroup_procs;
	return r < 0 ? error_wrap(err, "limits of the VM") : 0;
}

void vm_boot_move(struct vm_boot *to, struct vm_boot *from)
{
	*to = *from;
	*from = (struct vm_boot){ 0 };
	to->config.net.mac = to->mac;
	to->config.jail = to->jail_root ? &to->jail : NULL;
	to->config.net.tap_name = to->tap_name[0] ? to->tap_name : NULL;
}

void vm_boot_done(struct vm_boot *b)
{
	if (b->dir)
		close_keep_errno(b->config.net.tap_fd);
	free(b->dir);
	free(b->run_dir);
	free(b->rootfs);
	free(b->work);
	free(b->kernel);
	free(b->initrd);
	free(b->cmdline);
	free(b->jail_root);
	free(b->cgroup_procs);
	*b = (struct vm_boot){ 0 };
}
