/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-server: puts the parts together, runs the loop, and takes them apart in reverse. VMs
 * outlive it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/home/home.h"
#include "lib/proc/footprint.h"
#include "server/api/api.h"
#include "server/api/journal.h"
#include "server/api/tokens.h"
#include "server/config/config.h"
#include "server/http/problem.h"
#include "server/net/dns.h"
#include "server/run/run.h"
#include "server/vm/aside.h"
#include "server/vm/network.h"
#include "server/vm/snapshot.h"
#include "server/vm/template.h"
#include "server/vmm/cgroup.h"

#define SYSTEM_STATE "/var/lib/banger/" /* of a system install */

/* NULL: what the configuration says. */
struct options {
	const char *home;
	const char *listen;
	const char *vmm;
	const char *web_root;
	const char *agent;
	const char *log_level;
};

struct server {
	struct options options;
	struct config config;
	char *config_path;
	char listen[CONFIG_TEXT_MAX]; /* cut in two: host and port */
	const char *listen_host;      /* NULL: no TCP */
	uint16_t listen_port;
	struct home home;
	int lock_fd;
	char *socket_path;
	char *db_path;
	char *images_dir;
	char *kernels_dir;
	char *agent_path;
	char *libexec_dir;
	char *names_path;
	char *cgroup_dir; /* NULL: none is delegated */
	char *own_keys;   /* where the CLI keeps the key for ssh */
	char *web_root;
	struct image_paths paths;
	struct vmm_probe probe;
	char no_network[600]; /* why the default network is none */
	const struct vmm_driver *driver;
	char vmm_why[512];
	int signal_fd;
	struct loop_fd *signal_source;
	struct loop_timer *stop_timer;
	struct http_server *http;
	struct dns *dns;
	struct api api;
};

/* --- command line --- */

static void usage(FILE *out)
{
	(void)fputs(
		"Usage: banger-server [options]\n"
		"\n"
		"Serves the REST API and the dashboard of this user's microVMs.\n"
		"\n"
		"  --home DIR          keep config, state, cache and runtime below DIR (also: "
		"BANGER_HOME)\n"
		"  --listen HOST:PORT  address of the TCP port (default 127.0.0.1:8420); beyond\n"
		"                      loopback with tls_cert and tls_key in banger.conf only\n"
		"  --no-tcp            the unix socket only\n"
		"  --vmm NAME          auto (default), qemu or firecracker\n"
		"  --web DIR           files of the dashboard\n"
		"  --agent FILE        the agent for guests\n"
		"  --log-level LEVEL   error, warn, info (default) or debug\n"
		"  --version           print the version\n"
		"  --help              print this\n",
		out);
}

/* "127.0.0.1:8420" or "off". */
static int parse_listen(struct server *s, struct error *err)
{
	const char *text = config_text(&s->config, CONFIG_SERVER_LISTEN);
	char *colon;
	char *end = NULL;
	long port;

	if (streq(text, "off"))
		return 0;
	(void)snprintf(s->listen, sizeof(s->listen), "%s", text);
	colon = strrchr(s->listen, ':');
	errno = 0;
	port = colon ? strtol(colon + 1, &end, 10) : -1;
	if (!colon || errno || end == colon + 1 || *end || port < 0 || port > 65535)
		return error_set(err, ERR_INVALID, "server.listen wants HOST:PORT or off, not '%s'",
				 text);
	*colon = '\0';
	s->listen_host = s->listen;
	s->listen_port = (uint16_t)port;
	return 0;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	enum {
		OPT_HOME = 256,
		OPT_LISTEN,
		OPT_NO_TCP,
		OPT_VMM,
		OPT_WEB,
		OPT_AGENT,
		OPT_LOG,
		OPT_VERSION,
		OPT_HELP
	};
	static const struct option longs[] = {
		{ "home", required_argument, NULL, OPT_HOME },
		{ "listen", required_argument, NULL, OPT_LISTEN },
		{ "no-tcp", no_argument, NULL, OPT_NO_TCP },
		{ "vmm", required_argument, NULL, OPT_VMM },
		{ "web", required_argument, NULL, OPT_WEB },
		{ "agent", required_argument, NULL, OPT_AGENT },
		{ "log-level", required_argument, NULL, OPT_LOG },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	/* Before the first thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case OPT_HOME:
			o->home = optarg;
			break;
		case OPT_LISTEN:
			o->listen = optarg;
			break;
		case OPT_NO_TCP:
			o->listen = "off";
			break;
		case OPT_VMM:
			o->vmm = optarg;
			break;
		case OPT_WEB:
			o->web_root = optarg;
			break;
		case OPT_AGENT:
			o->agent = optarg;
			break;
		case OPT_LOG:
			o->log_level = optarg;
			break;
		case OPT_VERSION:
			(void)puts("banger-server " BANGER_VERSION);
			return 0;
		case OPT_HELP:
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "banger-server: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* --- start --- */

/* One server a home. The lock goes with the process, however that ends. */
static int take_lock(struct server *s, struct error *err)
{
	char pid[32];
	ssize_t n;
	int len;
	autoclose int dir = open(s->home.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	s->lock_fd = dir < 0 ? -errno : open_regular_beneath(dir, "lock", O_RDWR | O_CREAT, 0600);
	if (s->lock_fd < 0)
		return error_errno(err, s->lock_fd, "open %s/lock", s->home.state);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		return error_set(err, ERR_BUSY,
				 "a server runs on this home already (pid %s); stop it or choose "
				 "another --home",
				 n > 0 ? pid : "unknown");
	}
	len = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, (size_t)len, 0) != len)
		return error_errno(err, -errno, "write %s/lock", s->home.state);
	return 0;
}

/* Beside this program in a build or an install: bin/banger-server, libexec/banger/,
 * share/banger/web. */
static char *beside_program(const char *relative)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return path_join(self, relative);
}

static char *first_that_exists(const char *given, const char *const *candidates)
{
	if (given)
		return strdup(given);
	for (; *candidates; candidates++) {
		autofree char *path = beside_program(*candidates);

		if (path && access(path, F_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

static int find_paths(struct server *s, struct error *err)
{
	static const char *const agents[] = { "../libexec/banger/banger-agent",
					      "../agent/banger-agent", "banger-agent", NULL };
	static const char *const webs[] = { "../share/banger/web", "../web/dist",
					    "../../../web/dist", NULL };
	static const char *const libexecs[] = { "../libexec/banger", ".", NULL };

	s->socket_path = home_socket(&s->home);
	s->db_path = path_join(s->home.state, "state.db");
	s->images_dir = path_join(s->home.state, "images");
	s->kernels_dir = path_join(s->home.state, "kernels");
	s->agent_path = first_that_exists(s->options.agent, agents);
	s->web_root = first_that_exists(s->options.web_root, webs);
	s->names_path = path_join(s->home.config, "catalog.list");
	s->own_keys = path_join(s->home.state, "ssh/id_ed25519.pub");
	s->libexec_dir = first_that_exists(NULL, libexecs);
	if (!s->socket_path || !s->db_path || !s->images_dir || !s->kernels_dir ||
	    !s->libexec_dir || !s->names_path || !s->own_keys)
		return error_errno(err, -ENOMEM, "paths");
	if (!s->agent_path)
		return error_set(err, ERR_UNAVAILABLE,
				 "banger-agent is not installed beside banger-server; see --agent");
	s->paths = (struct image_paths){ .images = s->images_dir,
					 .kernels = s->kernels_dir,
					 .cache = s->home.cache,
					 .agent = s->agent_path,
					 .libexec = s->libexec_dir };
	return 0;
}

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

/* That there are none is a row of doctor's too. */
static void find_limits(struct server *s)
{
	struct error err = ERROR_INIT;

	if (cgroup_find_own(&s->cgroup_dir, &err) < 0)
		(void)snprintf(s->api.no_limits, sizeof(s->api.no_limits), "%.250s", err.msg);
}

/* A port that somebody else has is a row of doctor's, not a reason to end. */
static void start_dns(struct server *s)
{
	struct dns_config config = {
		.port = (uint16_t)config_number(&s->config, CONFIG_NETWORK_DNS_PORT),
		.by_name = vms_dns_by_name,
		.by_v4 = vms_dns_by_v4,
		.by_v6 = vms_dns_by_v6,
		.data = s->api.vms,
	};
	struct error err = ERROR_INIT;

	if (config.port == 0)
		return;
	s->api.dns_error = dns_new(s->api.loop, &config, &s->dns, &err);
	if (s->api.dns_error < 0)
		log_fields(LOG_WARN, "<name>.vm is not answered; see doctor", "error", err.msg,
			   NULL);
}

static uint64_t host_memory_mib(void)
{
	struct sysinfo si;

	return sysinfo(&si) < 0 ? 0 : (uint64_t)si.totalram * si.mem_unit / (1024 * 1024);
}

static int start_captures(struct server *s, struct error *err)
{
	struct templates_config config = {
		.vms = s->api.vms,
		.state_dir = s->home.state,
		.agent = s->agent_path,
		.vmm_version = s->probe.version,
		.max_bytes = (uint64_t)config_number(&s->config, CONFIG_TEMPLATES_MAX) << 20
	};
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

	for (struct vm *vm = vms_next(api->vms, ""); vm; vm = vms_next(api->vms, vm_row(vm)->id))
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

static int start_state(struct server *s, struct error *err)
{
	struct api *api = &s->api;
	struct catalog_config catalog;
	struct vms_config vms;
	int r = store_open(s->db_path, &api->store, err);

	if (r < 0)
		return r;
	if (store_is_new(api->store))
		r = vms_set_aside(s->home.state, err);
	if (r == 0)
		r = image_store_init(&s->paths, err);
	if (r < 0)
		return r;
	r = events_new(api->store, &api->events);
	if (r < 0)
		return error_errno(err, r, "events");
	r = tokens_open(api->store, &api->tokens, err);
	if (r < 0)
		return r;
	catalog = (struct catalog_config){ .loop = api->loop,
					   .ops = api->ops,
					   .store = api->store,
					   .events = api->events,
					   .paths = &s->paths,
					   .registry = REGISTRY_SETTINGS_INIT };
	catalog.registry.parallel = (unsigned int)config_number(&s->config, CONFIG_IMAGES_PARALLEL);
	catalog.registry.insecure = config_text(&s->config, CONFIG_IMAGES_INSECURE);
	catalog.registry.ca_file = config_text(&s->config, CONFIG_IMAGES_CA);
	catalog.registry.stall_s = (unsigned int)config_number(&s->config, CONFIG_IMAGES_STALL);
	catalog.names = s->names_path;
	catalog.auto_pull = config_number(&s->config, CONFIG_IMAGES_AUTO_PULL) != 0;
	r = catalog_new(&catalog, &api->catalog, err);
	if (r < 0)
		return r;
	vms = (struct vms_config){
		.loop = api->loop,
		.ops = api->ops,
		.store = api->store,
		.events = api->events,
		.catalog = api->catalog,
		.paths = &s->paths,
		.state_dir = s->home.state,
		.runtime_dir = s->home.runtime,
		.cache_dir = s->home.cache,
		.driver = s->driver,
		.accel = s->probe.accel,
		.host_memory_mib = host_memory_mib(),
		.max_vms = (unsigned int)config_number(&s->config, CONFIG_VMS_MAX),
		.vcpus = (uint32_t)config_number(&s->config, CONFIG_VMS_VCPUS),
		.memory_mib = (uint32_t)config_number(&s->config, CONFIG_VMS_MEMORY),
		.disk_mib = (uint32_t)config_number(&s->config, CONFIG_VMS_DISK),
		.overcommit_percent = (uint32_t)config_number(&s->config, CONFIG_VMS_OVERCOMMIT),
		.check_s = (uint32_t)config_number(&s->config, CONFIG_VMS_CHECK),
		.clock_s = (uint32_t)config_number(&s->config, CONFIG_VMS_CLOCK),
		.disk_reserve_mib = (uint64_t)config_number(&s->config, CONFIG_VMS_DISK_RESERVE),
		.vmm_version = s->probe.version,
		.default_network = s->api.default_network,
		.jail_dir = jail_dir(s),
		.cgroup_dir = s->cgroup_dir,
		.helper = { .socket = config_text(&s->config, CONFIG_NETWORK_HELPER) },
		.host_files = host_files(s),
		.dns_port = (uint16_t)config_number(&s->config, CONFIG_NETWORK_DNS_PORT)
	};
	r = api_journal_start(api, err);
	if (r == 0)
		r = vms_new(&vms, &api->vms, err);
	if (r == 0)
		r = start_captures(s, err);
	if (r < 0)
		return r;
	collect_store(s);
	return start_runs(s, err);
}

static int start_http(struct server *s, struct error *err)
{
	const char *cert = config_text(&s->config, CONFIG_SERVER_TLS_CERT);
	const char *key = config_text(&s->config, CONFIG_SERVER_TLS_KEY);
	struct http_config config = { .socket_path = s->socket_path,
				      .tcp_host = s->listen_host,
				      .tcp_port = s->listen_port,
				      .tls_cert = cert[0] ? cert : NULL,
				      .tls_key = cert[0] ? key : NULL,
				      .web_root = s->web_root,
				      .check_token = api_check_token,
				      .issue_session = api_issue_session,
				      .revoke_session = api_revoke_session,
				      .replays = &api_replays,
				      .audit = api_audit,
				      .context = &s->api,
				      .handlers = api_handlers,
				      .n_handlers = api_n_handlers };

	int r = !cert[0] == !key[0] ? 0
				    : error_set(err, ERR_INVALID,
						"server.tls_cert and server.tls_key go together");

	if (r == 0)
		r = http_server_new(s->api.loop, &config, &s->http, err);

	s->api.http = s->http;
	return r;
}

/* --- end --- */

static void stop_when_idle(void *data)
{
	enum { LOOK_AGAIN_US = 20000 };
	struct server *s = data;

	if (ops_idle(s->api.ops))
		loop_stop(s->api.loop);
	else
		loop_timer_set(s->stop_timer, LOOK_AGAIN_US);
}

/* New requests are refused, what is under way is cancelled and undone, and then the loop ends. */
static void on_signal(void *data, uint32_t events)
{
	struct server *s = data;
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	log_info("ending on signal %u; VMs go on", si.ssi_signo);
	http_server_free(s->http);
	s->http = NULL;
	runs_stop(s->api.runs);
	ops_stop(s->api.ops);
	stop_when_idle(s);
}

static int watch_signals(struct server *s, struct error *err)
{
	sigset_t set;
	int r;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return error_errno(err, -errno, "signalfd");
	r = loop_fd_add(s->api.loop, s->signal_fd, EPOLLIN, on_signal, s, &s->signal_source);
	if (r == 0)
		r = loop_timer_new(s->api.loop, stop_when_idle, s, &s->stop_timer);
	return r < 0 ? error_errno(err, r, "signals") : 0;
}

static void server_done(struct server *s)
{
	http_server_free(s->http);
	api_pages_done(&s->api);
	dns_free(s->dns);
	ops_set_listener(s->api.ops, NULL, NULL);
	runs_free(s->api.runs);
	templates_free(s->api.templates);
	snapshots_free(s->api.snapshots);
	vms_free(s->api.vms);
	catalog_free(s->api.catalog);
	ops_free(s->api.ops);
	tokens_close(s->api.tokens);
	events_free(s->api.events);
	store_close(s->api.store);
	loop_fd_remove(s->signal_source);
	loop_timer_free(s->stop_timer);
	close_keep_errno(s->signal_fd);
	loop_free(s->api.loop);
	free(s->config_path);
	free(s->socket_path);
	free(s->db_path);
	free(s->images_dir);
	free(s->kernels_dir);
	free(s->agent_path);
	free(s->libexec_dir);
	free(s->names_path);
	free(s->cgroup_dir);
	free(s->own_keys);
	free(s->web_root);
	home_done(&s->home);
	close_keep_errno(s->lock_fd);
}

/* The file, then the command line over it. */
static int configure(struct server *s, struct error *err)
{
	struct config_host host = { .memory_mib = host_memory_mib() };
	const struct {
		enum config_key key;
		const char *text;
	} given[] = { { CONFIG_SERVER_LISTEN, s->options.listen },
		      { CONFIG_SERVER_VMM, s->options.vmm },
		      { CONFIG_SERVER_LOG_LEVEL, s->options.log_level } };
	enum log_level level = LOG_INFO;
	struct statvfs fs;
	int r;

	if (statvfs(s->home.state, &fs) == 0)
		host.disk_mib = (uint64_t)fs.f_blocks * fs.f_frsize >> 20;
	config_init(&s->config, &host);
	s->config_path = path_join(s->home.config, "banger.conf");
	if (!s->config_path)
		return error_errno(err, -ENOMEM, "configuration");
	r = config_read(&s->config, s->config_path, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(given); i++)
		if (given[i].text)
			r = config_set(&s->config, given[i].key, given[i].text, CONFIG_OPTION, err);
	if (r == 0)
		r = parse_listen(s, err);
	if (r < 0)
		return r;
	(void)!log_level_parse(config_text(&s->config, CONFIG_SERVER_LOG_LEVEL), &level);
	log_init("banger-server", level);
	return 0;
}

static int start(struct server *s, struct error *err)
{
	int r = home_resolve(s->options.home, &s->home, err);

	if (r == 0)
		r = home_create(&s->home, err);
	if (r == 0)
		r = configure(s, err);
	if (r == 0)
		r = take_lock(s, err);
	if (r == 0)
		r = find_paths(s, err);
	if (r < 0)
		return r;
	s->api.home = &s->home;
	s->api.db_path = s->db_path;
	s->api.config = &s->config;
	s->api.config_path = s->config_path;
	r = loop_new(&s->api.loop);
	if (r < 0)
		return error_errno(err, r, "event loop");
	r = watch_signals(s, err);
	if (r < 0)
		return r;
	r = ops_new(s->api.loop, (unsigned int)config_number(&s->config, CONFIG_SERVER_WORKERS),
		    &s->api.ops);
	if (r < 0)
		return error_errno(err, r, "workers");
	choose_vmm(s);
	choose_network(s);
	find_limits(s);
	r = start_state(s, err);
	if (r == 0)
		r = start_http(s, err);
	if (r == 0)
		start_dns(s);
	return r;
}

/* Each VM costs a handful of descriptors; the soft limit of 1024 is for programs that use
 * select(2). */
static void raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/*
 * Limits that stay: else the allocator raises both with the largest buffer that was freed, and a
 * worker's arena keeps as much for ever (mallopt(3)).
 */
static void bound_allocator(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 512 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 512 * 1024);
}

int main(int argc, char **argv)
{
	static struct server s = {
		.lock_fd = -1,
		.signal_fd = -1,
	};
	struct error err = ERROR_INIT;
	char address[80];
	int r = parse_options(argc, argv, &s.options);

	if (r >= 0)
		return r;
	/* A peer that left and a limit on file sizes are errors of one call, not the end. */
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	(void)sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	(void)umask(077);
	bound_allocator();
	raise_descriptor_limit();
	log_init("banger-server", LOG_INFO);
	r = start(&s, &err);
	if (r < 0) {
		(void)fprintf(stderr, "banger-server: %s\n", err.msg);
		return 1;
	}
	(void)malloc_trim(0); /* what only the start needed */
	/* Not before: a server that can't start says one thing only. */
	if (s.driver)
		log_fields(LOG_INFO, "VMM chosen", "vmm", s.driver->name, "why", s.vmm_why, NULL);
	else
		log_fields(LOG_WARN, "no VMM can be used; VMs can't be started", "error", s.vmm_why,
			   NULL);
	if (s.no_network[0])
		log_fields(LOG_WARN,
			   "no user-mode network here: VMs get none unless they ask for one", "why",
			   s.no_network, NULL);
	footprint_drop_text();
	(void)snprintf(address, sizeof(address), "%s://%s:%u",
		       config_text(&s.config, CONFIG_SERVER_TLS_CERT)[0] ? "https" : "http",
		       s.listen_host ? s.listen_host : "", http_server_port(s.http));
	log_fields(LOG_INFO, "ready", "socket", s.socket_path, s.listen_host ? "address" : NULL,
		   address, NULL);
	r = loop_run(s.api.loop);
	if (r < 0)
		log_error("event loop: %s", strerrordesc_np(-r));
	server_done(&s);
	return r < 0 ? 1 : 0;
}
