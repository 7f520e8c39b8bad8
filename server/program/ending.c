/* SPDX-License-Identifier: Apache-2.0 */
#include "server/program/program.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/api/tokens.h"
#include "server/net/helper.h"
#include "server/run/run.h"
#include "server/vm/snapshot.h"
#include "server/vm/standby.h"
#include "server/vm/template.h"

enum { FORGET_DEADLINE_MS = 5000 };

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
	standbys_stop(templates_standbys(s->api.templates));
	ops_stop(s->api.ops);
	stop_when_idle(s);
}

int watch_signals(struct server *s, struct error *err)
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

int forget_names(struct server *s, struct error *err)
{
	struct helper_client helper = { .timeout_ms = FORGET_DEADLINE_MS };
	int r = home_resolve(s->options.home, &s->home, err);

	if (r == 0)
		r = configure(s, err);
	/* A server that runs answers them. */
	if (r == 0)
		r = take_lock(s, err);
	if (r < 0)
		return r;
	helper.socket = config_text(&s->config, CONFIG_NETWORK_HELPER);
	return helper_present(&helper) ? helper_dns_clear(&helper, err) : 0;
}

void server_done(struct server *s)
{
	/* Of a restart the resolver sees nothing: names fail for a moment instead of being unknown.
	 */
	if (!s->held)
		vms_forget_names(s->api.vms, FORGET_DEADLINE_MS);
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
