/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"
#include "server/vmm/fc_jail.h"
#include "server/vmm/run_dir.h"

enum { VCPUS_MAX = 32, MEMORY_MIN_MIB = 32, GUEST_CID = 3, DISK_ID_MAX = 20, TAP_NAME_MAX = 15 };

void fc_disk_id(uint64_t dev, uint64_t rdev, uint64_t ino, char buf[24])
{
	char digits[64];

	(void)snprintf(digits, sizeof(digits), "%" PRIu64 "%" PRIu64 "%" PRIu64, dev, rdev, ino);
	digits[DISK_ID_MAX] = '\0';
	memcpy(buf, digits, DISK_ID_MAX + 1);
}

int fc_check(const struct vmm_config *config, struct error *err)
{
	if (config->vcpus < 1 || config->vcpus > VCPUS_MAX)
		return error_set(err, ERR_INVALID, "vcpus must be 1 to %d", VCPUS_MAX);
	if (config->memory_mib < MEMORY_MIN_MIB)
		return error_set(err, ERR_INVALID, "memory must be at least %d MiB",
				 MEMORY_MIN_MIB);
	if (config->n_disks > VMM_DISKS_MAX)
		return error_set(err, ERR_INVALID, "at most %d disks", VMM_DISKS_MAX);
	for (size_t i = 0; i < config->n_disks; i++) {
		const char *serial = config->disks[i].serial;
		size_t len = strlen(serial);

		if (len == 0 || len > DISK_ID_MAX ||
		    strspn(serial, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len)
			return error_set(err, ERR_INVALID, "disk serial '%s' is not usable",
					 serial);
	}
	if (config->cpu_model)
		return error_set(err, ERR_UNSUPPORTED,
				 "Firecracker shows the host's CPU; it has no models");
	if (config->net.mode == VMM_NET_USER)
		return error_set(err, ERR_UNSUPPORTED,
				 "Firecracker has no user-mode network; use bridge or none, or "
				 "vmm = qemu");
	if (config->net.mode == VMM_NET_TAP &&
	    (!config->net.tap_name || strlen(config->net.tap_name) > TAP_NAME_MAX ||
	     !config->net.mac))
		return error_set(err, ERR_INVALID, "the tap has no usable name or address");
	return 0;
}

/* --- bodies --- */

/* "/proc/self/fd/<n><rest>" */
static json_t *fd_path(int n, const char *rest)
{
	return json_sprintf("/proc/self/fd/%d%s", n, rest);
}

/* The same file by its name in the jail, where there is one. */
static json_t *file_path(const struct vmm_config *config, int n, const char *in_jail)
{
	return config->jail ? json_sprintf("/%s", in_jail) : fd_path(n, "");
}

static json_t *machine_config(const struct vmm_config *config)
{
	return json_pack("{s:I, s:I}", "vcpu_count", (json_int_t)config->vcpus, "mem_size_mib",
			 (json_int_t)config->memory_mib);
}

/* Which serial stands for which disk goes on the command line, for the agent. */
static int build_cmdline(const struct vmm_config *config, const char (*disk_ids)[24],
			 struct buf *out)
{
	int r = buf_printf(out, "console=ttyS0 loglevel=4 reboot=k panic=1");

	for (size_t i = 0; r == 0 && i < config->n_disks; i++)
		r = buf_printf(out, "%s%s:%s", i == 0 ? " " LINK_WORD_DISKS : ",",
			       config->disks[i].serial, disk_ids[i]);
	if (r == 0 && config->cmdline && *config->cmdline)
		r = buf_printf(out, " %s", config->cmdline);
	return r == 0 ? buf_append(out, "", 1) : r;
}

static json_t *boot_source(const struct vmm_config *config, const char *cmdline)
{
	json_t *body =
		json_pack("{s:o, s:s}", "kernel_image_path",
			  file_path(config, FC_FD_KERNEL, FC_JAIL_KERNEL), "boot_args", cmdline);

	if (body && config->initrd &&
	    json_object_set_new(body, "initrd_path",
				file_path(config, FC_FD_INITRD, FC_JAIL_INITRD)) < 0) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static json_t *drive(const struct vmm_config *config, size_t i)
{
	char name[16];

	(void)snprintf(name, sizeof(name), FC_JAIL_DISK "%zu", i);
	return json_pack("{s:o, s:b, s:b, s:o}", "drive_id", json_sprintf("disk%zu", i),
			 "is_root_device", 0, "is_read_only", config->disks[i].read_only ? 1 : 0,
			 "path_on_host", file_path(config, FC_FD_DISKS + (int)i, name));
}

static json_t *network_interface(const struct vmm_config *config)
{
	return json_pack("{s:s, s:s, s:s}", "iface_id", "eth0", "host_dev_name",
			 config->net.tap_name, "guest_mac", config->net.mac);
}

static json_t *vsock(const struct vmm_config *config)
{
	return json_pack("{s:i, s:o}", "guest_cid", GUEST_CID, "uds_path",
			 config->jail ? json_string("/" RUN_LINK_SOCK)
				      : fd_path(FC_FD_RUN_DIR, "/" RUN_LINK_SOCK));
}

json_t *fc_vm_state(bool paused)
{
	return json_pack("{s:s}", "state", paused ? "Paused" : "Resumed");
}

json_t *fc_snapshot_create(const char *state_path, const char *memory_path)
{
	return json_pack("{s:s, s:s, s:s}", "snapshot_type", "Full", "snapshot_path", state_path,
			 "mem_file_path", memory_path);
}

json_t *fc_snapshot_load(const struct vmm_config *config, const struct fc_version *version,
			 const char *state_path, const char *memory_path)
{
	json_t *body =
		json_pack("{s:s, s:{s:s, s:s}, s:b}", "snapshot_path", state_path, "mem_backend",
			  "backend_type", "File", "backend_path", memory_path, "resume_vm", 1);

	if (body && config->net.mode == VMM_NET_TAP && fc_version_has(version, 1, 12, 0) &&
	    json_object_set_new(body, "network_overrides",
				json_pack("[{s:s, s:s}]", "iface_id", "eth0", "host_dev_name",
					  config->net.tap_name)) < 0) {
		json_decref(body);
		return NULL;
	}
	return body;
}

/* --- the list --- */

static PRINTF_LIKE(3, 4) bool put(struct fc_requests *list, json_t *body, const char *fmt, ...)
{
	struct fc_request *q = &list->v[list->n];
	va_list ap;

	if (!body || list->n == FC_REQUESTS_MAX) {
		json_decref(body);
		return false;
	}
	q->method = "PUT";
	q->body = body;
	va_start(ap, fmt);
	(void)vsnprintf(q->path, sizeof(q->path), fmt, ap);
	va_end(ap);
	list->n++;
	return true;
}

int fc_boot_requests(const struct vmm_config *config, const struct fc_version *version,
		     const char (*disk_ids)[24], struct fc_requests *ret_requests,
		     struct error *err)
{
	struct fc_requests list CLEANUP(fc_requests_done) = { .n = 0 };
	struct buf cmdline CLEANUP(buf_done) = { .max = FC_CMDLINE_MAX };
	bool ok;
	int r;

	(void)version; /* every field below is as old as the oldest version that is launched */
	r = fc_check(config, err);
	if (r < 0)
		return r;
	r = build_cmdline(config, disk_ids, &cmdline);
	if (r == -ENOBUFS)
		return error_set(err, ERR_INVALID, "the kernel's command line is longer than %d",
				 FC_CMDLINE_MAX);
	ok = r == 0 && put(&list, machine_config(config), "/machine-config") &&
	     put(&list, boot_source(config, (const char *)buf_bytes(&cmdline)), "/boot-source");
	for (size_t i = 0; ok && i < config->n_disks; i++)
		ok = put(&list, drive(config, i), "/drives/disk%zu", i);
	if (ok && config->net.mode == VMM_NET_TAP)
		ok = put(&list, network_interface(config), "/network-interfaces/eth0");
	ok = ok && put(&list, vsock(config), "/vsock") && put(&list, json_object(), "/entropy") &&
	     put(&list, json_pack("{s:s}", "action_type", "InstanceStart"), "/actions");
	if (!ok)
		return error_errno(err, -ENOMEM, "requests to Firecracker");
	*ret_requests = list;
	list.n = 0;
	return 0;
}

void fc_requests_done(struct fc_requests *requests)
{
	for (size_t i = 0; i < requests->n; i++)
		json_decref(requests->v[i].body);
	requests->n = 0;
}
