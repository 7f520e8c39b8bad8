/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/api/journal.h"
#include "server/api/tokens.h"
#include "server/http/problem.h"
#include "server/run/run.h"
#include "server/vm/aside.h"
#include "server/vm/snapshot.h"
#include "server/vm/template.h"

#define SYSTEM_STATE "/var/lib/banger/" /* of a system install */

static uint64_t number(const struct server *s, enum config_key key)
{
	return (uint64_t)config_number(&s->config, key);
}

static int start_store(struct server *s, struct error *err)
{
	struct api *api = &s->api;
	int r = store_open(s->db_path, &api->store, err);

	if (r == 0 && store_is_new(api->store))
		r = vms_set_aside(s->home.state, err);
	if (r == 0)
		r = image_store_init(&s->paths, err);
	if (r < 0)
		return r;
	r = events_new(api->store, &api->events);
	return r < 0 ? error_errno(err, r, "events") : tokens_open(api->store, &api->tokens, err);
}

static int start_catalog(struct server *s, struct error *err)
{
	struct catalog_config config = { .loop = s->api.loop,
					 .ops = s->api.ops,
					 .store = s->api.store,
					 .events = s->api.events,
					 .paths = &s->paths,
					 .registry = REGISTRY_SETTINGS_INIT,
					 .names = { .file = s->names_path } };

	config.registry.parallel = (unsigned int)number(s, CONFIG_IMAGES_PARALLEL);
	config.registry.insecure = config_text(&s->config, CONFIG_IMAGES_INSECURE);
	config.registry.ca_file = config_text(&s->config, CONFIG_IMAGES_CA);
	config.registry.stall_s = (unsigned int)number(s, CONFIG_IMAGES_STALL);
	config.names.sha256 = config_text(&s->config, CONFIG_IMAGES_CATALOG);
	config.auto_pull = number(s, CONFIG_IMAGES_AUTO_PULL) != 0;
	return catalog_new(&config, &s->api.catalog, err);
}

/* NULL unless a helper is there to make jails, and the folder for them. */
static const char *jail_dir(const struct server *s)
{
	const struct helper_client helper = { .socket = config_text(&s->config,
								    CONFIG_NETWORK_HELPER) };
	const char *dir = config_text(&s->config, CONFIG_SERVER_JAIL);
	struct stat st;

	return dir[0] && helper_present(&helper) && stat(dir, &st) == 0 && S_ISDIR(st.st_mode)
		       ? dir
		       : NULL;
}

static struct vm_host_files host_files(const struct server *s)
{
	const char *keys = config_text(&s->config, CONFIG_GUEST_KEYS);
	const char *home = secure_getenv("HOME");

	return (struct vm_host_files){
		.home = home && home[0] == '/' ? home : "/",
		.keys = streq(keys, "off") ? NULL : (keys[0] ? keys : s->own_keys),
		.keys_are_ours = !keys[0],
		.git = config_number(&s->config, CONFIG_GUEST_GIT) != 0,
		.sync = s->config.sync,
		.n_sync = s->config.n_sync,
		.beneath_home = str_has_prefix(s->home.state, SYSTEM_STATE),
	};
}

static int start_vms(struct server *s, struct error *err)
{
	const struct vms_config config = {
		.loop = s->api.loop,
		.ops = s->api.ops,
		.store = s->api.store,
		.events = s->api.events,
		.catalog = s->api.catalog,
		.paths = &s->paths,
		.state_dir = s->home.state,
		.runtime_dir = s->home.runtime,
		.cache_dir = s->home.cache,
		.driver = s->driver,
		.accel = s->probe.accel,
		.host_memory_mib = host_memory_mib(),
		.max_vms = (unsigned int)number(s, CONFIG_VMS_MAX),
		.vcpus = (uint32_t)number(s, CONFIG_VMS_VCPUS),
		.memory_mib = (uint32_t)number(s, CONFIG_VMS_MEMORY),
		.disk_mib = (uint32_t)number(s, CONFIG_VMS_DISK),
		.overcommit_percent = (uint32_t)number(s, CONFIG_VMS_OVERCOMMIT),
		.check_s = (uint32_t)number(s, CONFIG_VMS_CHECK),
		.clock_s = (uint32_t)number(s, CONFIG_VMS_CLOCK),
		.disk_reserve_mib = number(s, CONFIG_VMS_DISK_RESERVE),
		.vmm_version = s->probe.version,
		.default_network = s->api.default_network,
		.jail_dir = jail_dir(s),
		.cgroup_dir = s->cgroup_dir,
		.helper = { .socket = config_text(&s->config, CONFIG_NETWORK_HELPER) },
		.host_files = host_files(s),
		.dns_port = (uint16_t)number(s, CONFIG_NETWORK_DNS_PORT)
	};

	return vms_new(&config, &s->api.vms, err);
}

static int start_captures(struct server *s, struct error *err)
{
	struct templates_config config = { .vms = s->api.vms,
					   .state_dir = s->home.state,
					   .agent = s->agent_path,
					   .vmm_version = s->probe.version,
					   .max_bytes = number(s, CONFIG_TEMPLATES_MAX) << 20,
					   .standby = (unsigned int)number(
						   s, CONFIG_TEMPLATES_STANDBY) };
	int r = templates_new(&config, &s->api.templates, err);

	if (r == 0)
		r = snapshots_new(s->api.vms, s->home.state, &s->api.snapshots, err);
	if (r < 0)
		return r;
	vms_set_templates(s->api.vms, s->api.templates);
	vms_set_snapshots(s->api.vms, s->api.snapshots);
	return 0;
}

/* VMs and snapshots by what they are made of, for the catalogue. */
static bool needs_id(void *data, const char *id)
{
	const struct api *api = data;
	const struct snapshot *one;

	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm))
		if (streq(vm_row(vm)->image_id, id) || streq(vm_row(vm)->kernel_id, id))
			return true;
	for (size_t i = 0; (one = snapshots_at(api->snapshots, i)) != NULL; i++)
		if (streq(one->image_id, id) || streq(one->kernel_id, id))
			return true;
	return false;
}

static void collect_store(struct server *s)
{
	struct error err = ERROR_INIT;
	uint64_t bytes = 0;

	catalog_set_users(s->api.catalog, needs_id, &s->api);
	if (catalog_collect(s->api.catalog, CATALOG_GRACE_S, false, &bytes, &err) < 0)
		log_warn("collect images and kernels: %s", err.msg);
}

static json_t *show_problem(const struct error *err)
{
	return problem_to_json(err, NULL, NULL, false);
}

static int start_runs(struct server *s, struct error *err)
{
	const struct runs_config config = {
		.loop = s->api.loop,
		.store = s->api.store,
		.events = s->api.events,
		.vms = s->api.vms,
		.snapshots = s->api.snapshots,
		.state_dir = s->home.state,
		.parallel = (unsigned int)config_number(&s->config, CONFIG_RUNS_PARALLEL),
		.kept = (unsigned int)config_number(&s->config, CONFIG_RUNS_KEPT),
		.artifacts_max = (uint64_t)config_number(&s->config, CONFIG_RUNS_ARTIFACTS) << 20,
		.problem = show_problem,
	};

	return runs_new(&config, &s->api.runs, err);
}

int start_state(struct server *s, struct error *err)
{
	int r = start_store(s, err);

	if (r == 0)
		r = start_catalog(s, err);
	if (r == 0)
		r = api_journal_start(&s->api, err);
	if (r == 0)
		r = start_vms(s, err);
	if (r == 0)
		r = start_captures(s, err);
	if (r < 0)
		return r;
	collect_store(s);
	return start_runs(s, err);
}
