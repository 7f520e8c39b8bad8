/* SPDX-License-Identifier: Apache-2.0 */
/* A VMM that the root helper starts in a jail, and what is left of one. */
#include "server/vm/jail.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/cgroup.h"

/* Outside of systemd the helper has no cgroup of its own, and a VM then no limits. */
static int limit(const struct helper_client *helper, const struct vmm_config *config,
		 struct error *err)
{
	const struct cgroup_limits own = cgroup_limits_of(config->vcpus, config->memory_mib, false);
	const struct helper_limits limits = { .memory_bytes = own.memory_bytes,
					      .cpu_percent = own.cpu_percent,
					      .pids = own.pids };
	struct error failed = ERROR_INIT;
	int r = helper_cgroup_create(helper, config->id, &limits, &failed);

	if (r == -EOPNOTSUPP) {
		log_fields(LOG_INFO, "no limits by cgroup", "vm", config->id, "why", failed.msg,
			   NULL);
		return 0;
	}
	if (r < 0)
		*err = failed;
	return r;
}

/* What an earlier life of the VM has left goes first: a jail is used once. */
static int launch(void *data, const struct vmm_config *config, int log_fd, pid_t *ret_pid,
		  int *ret_pidfd, struct error *err)
{
	const struct helper_client *helper = data;
	const char *id = config->id;
	int r = helper_jail_remove(helper, id, err);

	if (r == 0)
		r = limit(helper, config, err);

	if (r == 0)
		r = helper_vm_launch(helper, id, log_fd, ret_pid, ret_pidfd, err);
	return r < 0 ? error_wrap(err, "start in a jail") : 0;
}

int vm_jail_fill(const struct vms *vms, const struct vmm_driver *driver, struct vm_boot *boot)
{
	if (!vms->c.jail_dir || !driver || !(driver->caps & VMM_CAP_JAIL))
		return 0;
	if (asprintf(&boot->jail_root, "%s/%s/%s/root", vms->c.jail_dir, driver->name,
		     boot->config.id) < 0) {
		boot->jail_root = NULL;
		return -ENOMEM;
	}
	boot->jail = (struct vmm_jail){
		.root = boot->jail_root,
		.launch = launch,
		/* Read only; the callback's type knows nothing of helpers. */
		.data = (void *)(uintptr_t)&vms->c.helper,
	};
	return 0;
}

void vm_jail_remove(const struct verb_job *job, const char *driver_name)
{
	const struct vmm_driver *driver = vmm_find(driver_name);
	struct error err;

	if (!job->vms->c.jail_dir || !driver || !(driver->caps & VMM_CAP_JAIL))
		return;
	if (helper_jail_remove(&job->vms->c.helper, job->id, &err) < 0 ||
	    helper_cgroup_remove(&job->vms->c.helper, job->id, &err) < 0)
		log_fields(LOG_WARN, "jail not removed", "vm", job->id, "error", err.msg, NULL);
}
