/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>

#include "lib/base/clock.h"
#include "server/vmm/cgroup.h"

static void choose_vmm(struct server *s)
{
	struct error err = ERROR_INIT;

	s->driver = vmm_choose(config_text(&s->config, CONFIG_SERVER_VMM), &s->probe, s->vmm_why,
			       sizeof(s->vmm_why), &err);
	if (!s->driver)
		(void)snprintf(s->vmm_why, sizeof(s->vmm_why), "%s", err.msg);
	s->api.driver = s->driver;
	s->api.probe = &s->probe;
	s->api.vmm_why = s->vmm_why;
}

/* The user-mode network is the default where it can be had; a VM that asks for it by name gets it
 * or an error. */
static void choose_network(struct server *s)
{
	enum { PROBE_US = 5000000 };
	const struct vmm_wait wait = { .deadline_us = clock_mono_us() + PROBE_US, .cancel_fd = -1 };
	struct error err = ERROR_INIT;

	s->api.default_network = config_text(&s->config, CONFIG_VMS_NETWORK);
	s->api.default_network_from =
		config_source_name(s->config.values[CONFIG_VMS_NETWORK].source);
	if (!streq(s->api.default_network, "auto"))
		return;
	s->api.default_network = "user";
	if (!s->driver)
		return;
	if (!s->driver->probe_user_net)
		(void)error_set(&err, ERR_UNSUPPORTED, "%s has no user-mode network",
				s->driver->name);
	else if (s->driver->probe_user_net(&wait, &err) == 0)
		return;
	(void)snprintf(s->no_network, sizeof(s->no_network), "host: %s", err.msg);
	s->api.default_network = "none";
	s->api.default_network_from = s->no_network;
}

/*
 * An emulating monitor asks for huge pages for its translated code, and has then megabytes of which
 * it uses part, each VM its own. All that we start inherit this (PR_SET_THP_DISABLE in prctl(2));
 * with KVM it is left alone, where guests gain by huge pages.
 */
static void choose_pages(const struct server *s)
{
	if (s->probe.accel == VMM_ACCEL_TCG)
		(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* That there are none is a row of doctor's too. */
static void find_limits(struct server *s)
{
	struct error err = ERROR_INIT;

	if (cgroup_find_own(&s->cgroup_dir, &err) < 0)
		(void)snprintf(s->api.no_limits, sizeof(s->api.no_limits), "%.250s", err.msg);
}

void find_host(struct server *s)
{
	choose_vmm(s);
	choose_pages(s);
	choose_network(s);
	find_limits(s);
}

uint64_t host_memory_mib(void)
{
	struct sysinfo si;

	return sysinfo(&si) < 0 ? 0 : (uint64_t)si.totalram * si.mem_unit / (1024 * 1024);
}
