/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker in a jail, which somebody with the right to make one starts (struct vmm_jail). It
 * sees its own folder as "/" and nothing else: kernel, initramfs and disks are linked into it, so
 * they lie on the same file system. Its sockets are reached through links in the VM's run folder,
 * so everything after the start works as without a jail.
 */
#pragma once

#include "server/vmm/fc_process.h"

/* Names in the jail. */
#define FC_JAIL_KERNEL "kernel"
#define FC_JAIL_INITRD "initrd"
#define FC_JAIL_DISK   "disk" /* and its number */

fc_launcher fc_launch_jailed;

/* After the API answers: puts the files in place and fills launch->disk_ids. */
int fc_jail_fill(struct fc_launch *launch, struct error *err) MUST_USE;

/* A file of the jail goes to a folder outside, or from there into the jail. */
int fc_jail_move_out(const struct vmm_config *config, const char *name, int dir_fd,
		     struct error *err) MUST_USE;
int fc_jail_link_in(const struct vmm_config *config, const char *name, int dir_fd,
		    struct error *err) MUST_USE;
