/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/vmm.h"

#include <stdio.h>

#include "lib/base/macro.h"

const struct vmm_driver *const vmm_drivers[] = { &vmm_firecracker, &vmm_qemu, NULL };

const struct vmm_driver *vmm_find(const char *name)
{
	for (size_t i = 0; vmm_drivers[i]; i++) {
		if (streq(vmm_drivers[i]->name, name))
			return vmm_drivers[i];
	}
	return NULL;
}

static int choose_named(const char *wanted, const struct vmm_driver **ret_driver,
			struct vmm_probe *ret_probe, char *why, size_t why_size, struct error *err)
{
	const struct vmm_driver *driver = vmm_find(wanted);

	if (!driver)
		return error_set(err, ERR_INVALID, "'%s' is no VMM; use auto, firecracker or qemu",
				 wanted);
	driver->probe(ret_probe);
	if (!ret_probe->usable)
		return error_set(err, ERR_UNSUPPORTED, "%s; %s", ret_probe->detail,
				 ret_probe->remedy);
	(void)snprintf(why, why_size, "as asked: %s", ret_probe->detail);
	*ret_driver = driver;
	return 0;
}

const struct vmm_driver *vmm_choose(const char *wanted, struct vmm_probe *ret_probe, char *why,
				    size_t why_size, struct error *err)
{
	const struct vmm_driver *driver = NULL;
	struct vmm_probe probe = { 0 };

	if (!streq(wanted, "auto")) {
		if (choose_named(wanted, &driver, ret_probe, why, why_size, err) < 0)
			return NULL;
		return driver;
	}
	for (size_t i = 0; vmm_drivers[i]; i++) {
		vmm_drivers[i]->probe(&probe);
		if (!probe.usable)
			continue;
		*ret_probe = probe;
		(void)snprintf(why, why_size, "%s", probe.detail);
		return vmm_drivers[i];
	}
	(void)error_set(err, ERR_UNSUPPORTED, "no VMM can be used; the last one looked at: %s; %s",
			probe.detail, probe.remedy);
	return NULL;
}

const char *vmm_accel_name(enum vmm_accel accel)
{
	static const char *const names[] = {
		[VMM_ACCEL_NONE] = "none",
		[VMM_ACCEL_KVM] = "kvm",
		[VMM_ACCEL_TCG] = "tcg",
	};

	return names[accel];
}
