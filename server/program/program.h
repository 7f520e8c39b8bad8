/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of banger-server and how they are put together: which files it uses, what the host
 * offers, the state, and the end. main.c calls these in their order; nobody else does.
 */
#pragma once

#include "server/api/api.h"
#include "server/config/config.h"
#include "server/net/dns.h"

/* NULL: what the configuration says. */
struct options {
	const char *home;
	const char *listen;
	const char *vmm;
	const char *web_root;
	const char *agent;
	const char *log_level;
	bool forget_names; /* in place of serving */
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
	bool held; /* systemd has the socket: it may start the server again at any time */
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

/* options.c: -1 to go on, else the status to exit with; what there is to say has been said. */
int options_parse(int argc, char **argv, struct options *o);
/* The configuration file with the options over it; sets the log's level. */
int configure(struct server *s, struct error *err) MUST_USE;

/* files.c: one server a home; the lock goes with the process, however that ends. */
int take_lock(struct server *s, struct error *err) MUST_USE;
/* Where everything is that the server reads and writes. */
int find_paths(struct server *s, struct error *err) MUST_USE;

/* host.c: the monitor, the default network and the limits that this host can have. What it can't is
 * kept as text for doctor and the log. */
void find_host(struct server *s);
uint64_t host_memory_mib(void);

/* state.c: the store and all that is made of it, reconciled with what there is. */
int start_state(struct server *s, struct error *err) MUST_USE;

/* serve.c: HTTP and DNS. */
int start_http(struct server *s, struct error *err) MUST_USE;
/* A port that somebody else has is a row of doctor's, not a reason to end. */
void start_dns(struct server *s);

/* ending.c: a signal ends what is under way, then the loop. */
int watch_signals(struct server *s, struct error *err) MUST_USE;
/* --forget-names: 0, also where there is nothing to forget. */
int forget_names(struct server *s, struct error *err) MUST_USE;
/* Takes everything apart; also what was started half. */
void server_done(struct server *s);
