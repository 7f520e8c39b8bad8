/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to Firecracker's API as pure functions. Firecracker refuses fields that it does not
 * know, so a field goes into a request only from the version on that has it.
 *
 * Files are named by descriptors that the process was started with (/proc/self/fd/N), never by
 * their own paths: a snapshot then names the same "files" for every clone, whatever each is given.
 */
#pragma once

#include <jansson.h>

#include "lib/base/error.h"
#include "server/vmm/fc_version.h"
#include "server/vmm/vmm.h"

/* Descriptors in the Firecracker process. */
enum fc_fd {
	FC_FD_RUN_DIR = 3, /* the run folder: its sockets are bound through it */
	FC_FD_KERNEL,
	FC_FD_INITRD,
	FC_FD_DISKS, /* and the VMM_DISKS_MAX - 1 numbers behind it */
	FC_FD_MAX_ = FC_FD_DISKS + VMM_DISKS_MAX,
};

enum { FC_REQUESTS_MAX = 8 + VMM_DISKS_MAX, FC_CMDLINE_MAX = 2048 };

struct fc_request {
	const char *method; /* static */
	char path[64];
	json_t *body; /* owned; NULL for GET */
};

struct fc_requests {
	struct fc_request v[FC_REQUESTS_MAX];
	size_t n;
};

/* ERR_INVALID for a configuration that can't be expressed, ERR_UNSUPPORTED for what Firecracker
 * can't do. */
int fc_check(const struct vmm_config *config, struct error *err) MUST_USE;

/*
 * All that boots a VM, in order, InstanceStart last. `disk_ids[i]` is how the guest sees disk i,
 * because Firecracker chooses the serial itself (see fc_disk_id()).
 */
int fc_boot_requests(const struct vmm_config *config, const struct fc_version *version,
		     const char (*disk_ids)[24], struct fc_requests *ret_requests,
		     struct error *err) MUST_USE;
void fc_requests_done(struct fc_requests *requests);

/* "Paused" or "Resumed". NULL when out of memory, as for the next ones. */
json_t *fc_vm_state(bool paused);
json_t *fc_snapshot_create(const char *state_path, const char *memory_path);
json_t *fc_snapshot_load(const struct vmm_config *config, const struct fc_version *version,
			 const char *state_path, const char *memory_path);

/*
 * The serial that Firecracker gives a disk: device, device type and inode number of its file as
 * decimal digits, the first 20 of them.
 */
void fc_disk_id(uint64_t dev, uint64_t rdev, uint64_t ino, char buf[24]);
