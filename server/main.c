/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-server: puts the parts together, runs the loop, and takes them apart in reverse. VMs
 * outlive it.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/proc/footprint.h"
#include "server/program/program.h"

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
	find_host(s);
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

/* Not before the start has succeeded: a server that can't start says one thing only. */
static void tell_start(const struct server *s)
{
	char address[80];

	if (s->driver)
		log_fields(LOG_INFO, "VMM chosen", "vmm", s->driver->name, "why", s->vmm_why, NULL);
	else
		log_fields(LOG_WARN, "no VMM can be used; VMs can't be started", "error",
			   s->vmm_why, NULL);
	if (s->no_network[0])
		log_fields(LOG_WARN,
			   "no user-mode network here: VMs get none unless they ask for one", "why",
			   s->no_network, NULL);
	(void)snprintf(address, sizeof(address), "%s://%s:%u",
		       config_text(&s->config, CONFIG_SERVER_TLS_CERT)[0] ? "https" : "http",
		       s->listen_host ? s->listen_host : "", http_server_port(s->http));
	log_fields(LOG_INFO, "ready", "socket", s->socket_path, s->listen_host ? "address" : NULL,
		   address, NULL);
}

int main(int argc, char **argv)
{
	static struct server s = {
		.lock_fd = -1,
		.signal_fd = -1,
	};
	struct error err = ERROR_INIT;
	int r = options_parse(argc, argv, &s.options);

	if (r >= 0)
		return r;
	/* A peer that left and a limit on file sizes are errors of one call, not the end. */
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	(void)sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	(void)umask(077);
	bound_allocator();
	raise_descriptor_limit();
	log_init("banger-server", LOG_INFO);
	r = s.options.forget_names ? forget_names(&s, &err) : start(&s, &err);
	if (r == 0 && s.options.forget_names)
		return 0;
	if (r < 0) {
		(void)fprintf(stderr, "banger-server: %s\n", err.msg);
		return 1;
	}
	(void)malloc_trim(0); /* what only the start needed */
	footprint_drop_text();
	tell_start(&s);
	r = loop_run(s.api.loop);
	if (r < 0)
		log_error("event loop: %s", strerrordesc_np(-r));
	server_done(&s);
	return r < 0 ? 1 : 0;
}
