/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a guest is. What woke up from memory has lived through this moment before, or somebody else
 * has: it gets the time and random numbers of its own, and a copy becomes another machine.
 *
 * A copied disk is a stranger's until its guest has an identity of its own. A file beside the disk
 * says so from before the copy until then, whatever ends in between: the server, the monitor or
 * the host.
 */
#include "server/vm/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/hex.h"
#include "server/vm/clock.h"
#include "server/vm/network.h"

#define MARK "stranger"

void vm_identify(struct vm *vm, enum vm_newness newness, const char *boot_id, guest_reply_fn *fn,
		 void *data)
{
	unsigned char random[16 + 64];
	char machine_id[33];
	char entropy[129];
	char net[256];
	json_t *identity;

	arc4random_buf(random, sizeof(random));
	hex_of(random, 16, machine_id);
	hex_of(random + 16, 64, entropy);
	identity = json_pack("{s:s}", "entropy", entropy);
	if (newness == VM_STRANGER)
		(void)json_object_set_new(identity, "ssh_host_keys", json_string("regenerate"));
	if (newness != VM_ITSELF) {
		(void)json_object_set_new(identity, "hostname", json_string(vm->row.name));
		(void)json_object_set_new(identity, "machine_id", json_string(machine_id));
		(void)json_object_set_new(identity, "hooks", json_true());
		if (boot_id[0])
			(void)json_object_set_new(identity, "boot_id", json_string(boot_id));
		/* On the bridge it goes with the address. */
		if (streq(vm->row.network, "user"))
			(void)json_object_set_new(identity, "mac", json_string(vm->boot.mac));
	}
	vm_network_word(vm, net, sizeof(net));
	if (net[0])
		(void)json_object_set_new(identity, "net", json_string(net));
	vm_clock_set(vm);
	guest_call(vm->guest, "/identity", identity, VM_IDENTITY_MS, fn, data);
}

int vm_mark_stranger(int dir_fd)
{
	autoclose int fd = open_beneath(dir_fd, MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? fd : 0;
}

bool vm_is_stranger(const struct vms *vms, const char *id)
{
	autoclose int dir = open_beneath(vms->vms_fd, id, O_RDONLY | O_DIRECTORY, 0);

	return dir >= 0 && faccessat(dir, MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int vm_stranger_no_more(const struct verb_job *job, struct error *err)
{
	autoclose int dir = open_beneath(job->vms->vms_fd, job->id, O_RDONLY | O_DIRECTORY, 0);

	if (dir < 0)
		return error_errno(err, dir, "open the folder of VM %s", job->id);
	if (unlinkat(dir, MARK, 0) < 0 && errno != ENOENT)
		return error_errno(err, -errno, "remove the mark of VM %s", job->id);
	return 0;
}
