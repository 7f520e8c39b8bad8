/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one VM that is kept ready, from its template to the VM that takes it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/hex.h"
#include "server/vm/identity.h"
#include "server/vm/standby_internal.h"

enum { ENTROPY = 64 };

static json_t *first_identity(const struct unseen *u)
{
	unsigned char random[ENTROPY];
	char entropy[2 * ENTROPY + 1];
	char boot_id[40];
	json_t *identity;

	arc4random_buf(random, sizeof(random));
	hex_of(random, sizeof(random), entropy);
	vm_boot_id_new(boot_id);
	identity = json_pack("{s:s, s:s, s:s, s:s}", "hostname", "t", "entropy", entropy, "boot_id",
			     boot_id, "ssh_host_keys", "regenerate");
	if (streq(u->row.network, "user"))
		(void)json_object_set_new(identity, "mac", json_string(u->boot.mac));
	return identity;
}

static int copy_disk(const struct standby *one, int template_fd, struct error *err)
{
	autoclose int from = open_regular_beneath(template_fd, "work.ext4", O_RDONLY, 0);

	if (from < 0)
		return error_errno(err, from, "open the template's disk");
	return disk_copy(from, one->vm.boot.work, err);
}

static int bring_up(struct standby *one, int template_fd, struct error *err)
{
	struct unseen *u = &one->vm;
	autoclose int dir = -1;
	int r = made_check(template_fd, &one->made, one->verified ? MADE_STATE : MADE_ALL, err);

	if (r == 0)
		r = unseen_prepare(u, &dir, err);
	if (r < 0)
		return r;
	op_stage(u->op, "disk");
	r = vm_mark_stranger(dir);
	if (r < 0)
		return error_errno(err, r, "mark %s", u->boot.dir);
	r = copy_disk(one, template_fd, err);
	return r < 0 ? r : unseen_restore(u, template_fd, err);
}

int standby_make(struct standby *one, int template_fd, struct error *err)
{
	struct unseen *u = &one->vm;
	json_auto_t *argv = json_pack("[s]", "true");
	struct vmm_wait wait;
	int r = bring_up(one, template_fd, err);

	if (r == 0) {
		op_stage(u->op, "rehearsal");
		one->rehearsal =
			(struct rehearsal){ .vm = u, .argv = argv, .identity = first_identity(u) };
		r = rehearse(&one->rehearsal, err);
	}
	if (r == 0) {
		op_stage(u->op, "pause");
		wait = unseen_vmm_wait(u);
		r = u->driver->pause(&u->boot.config, &wait, err);
	}
	if (r < 0)
		unseen_end(u);
	return r;
}

int standby_wake(struct standby *one, const struct vmm_config *config, const struct vmm_wait *wait,
		 struct proc *ret_proc, struct error *err)
{
	int r = one->vm.driver->join_net(config, wait, err);

	if (r == 0)
		r = one->vm.driver->resume(config, wait, err);
	if (r < 0)
		return error_wrap(err, "the VM that was kept ready");
	*ret_proc = one->vm.proc;
	one->vm.proc = PROC_INIT;
	one->woken = true;
	return 0;
}

void standby_free(struct standby *one)
{
	if (!one)
		return;
	if (!one->woken)
		unseen_remove(&one->vm);
	rehearsal_done(&one->rehearsal);
	unseen_done(&one->vm);
	free(one);
}
