/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/qemu_net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/proc/proc.h"
#include "server/vmm/net_stats.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/words.h"

enum { START_MS = 5000, ROUTES_MAX = 1024 * 1024 };

bool route_has_default(const char *routes)
{
	const char *line = strchr(routes, '\n');

	for (; line; line = strchr(line + 1, '\n')) {
		/* interface, destination, gateway, flags, references, uses, metric, mask, … */
		uint64_t v[7] = { 0 };
		const char *p = line + 1;
		bool ok = true;

		word_skip(&p);
		for (size_t i = 0; ok && i < ARRAY_SIZE(v); i++)
			ok = word_number(&p, 16, &v[i]);
		if (ok && v[0] == 0 && v[6] == 0 && (v[2] & RTF_UP))
			return true;
	}
	return false;
}

/* passt can't start where the host itself has no way out, and a guest has nowhere to go then. */
static bool host_is_offline(void)
{
	autofree char *routes = NULL;

	if (read_file("/proc/net/route", ROUTES_MAX, &routes, NULL) < 0)
		return false;
	return !route_has_default(routes);
}

/* Both programs go to the background by themselves once they serve. */
static int run_in_background(const char *const *argv, const struct proc_fd *fds, size_t n_fds,
			     const struct vmm_wait *wait, struct error *err)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;

	spec.argv = argv;
	spec.fds = fds;
	spec.n_fds = n_fds;
	spec.new_session = true;
	run.timeout_ms = START_MS;
	run.cancel_fd = wait->cancel_fd;
	return proc_run_ok(&spec, &run, err);
}

static int start_passt(int fd, const struct vmm_wait *wait, struct error *err)
{
	autofree char *binary = proc_find_program("passt");
	/* clang-format off */
	const char *const argv[] = { binary, "--fd", "3", "--quiet",
				     "--no-map-gw",
				     "--address", VMM_USER_NET_ADDRESS,
				     "--netmask", VMM_USER_NET_PREFIX,
				     "--gateway", VMM_USER_NET_GATEWAY,
				     "--dns-forward", VMM_USER_NET_DNS,
				     "--mtu", "1500",
				     "--ipv4-only",
				     "--tcp-ports", "none",
				     "--udp-ports", "none",
				     NULL };
	/* clang-format on */
	const struct proc_fd fds[] = { { .ours = fd, .theirs = 3 } };

	if (!binary)
		return error_set(
			err, ERR_UNSUPPORTED,
			"user-mode networking needs passt, because QEMU's own would open "
			"the host's loopback services to the guest (apt-get install passt)");
	return run_in_background(argv, fds, ARRAY_SIZE(fds), wait, err);
}

static int start_gate(const struct vmm_config *config, int vmm_fd, int passt_fd,
		      const struct vmm_wait *wait, struct error *err)
{
	autofree char *binary =
		config->libexec ? path_join(config->libexec, "banger-netgate") : NULL;
	autoclose int run_fd = run_dir_open(config);
	autoclose int counters = run_fd < 0 ? run_fd : net_stats_create(run_fd);
	const char *const argv[] = { binary, NULL };
	const struct proc_fd fds[] = { { .ours = vmm_fd, .theirs = 3 },
				       { .ours = passt_fd, .theirs = 4 },
				       { .ours = counters, .theirs = 5 } };

	if (!binary)
		return error_set(err, ERR_UNSUPPORTED, "banger-netgate is not installed");
	/* A network that is not counted is one all the same. */
	return run_in_background(argv, fds, ARRAY_SIZE(fds) - (counters < 0 ? 1 : 0), wait, err);
}

struct pair {
	int a;
	int b;
};

static void pair_done(const struct pair *p)
{
	close_keep_errno(p->a);
	close_keep_errno(p->b);
}

static int pair_open(struct pair *p)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	*p = (struct pair){ .a = fds[0], .b = fds[1] };
	return 0;
}

/* QEMU - gate - passt. Whichever ends first takes the others with it. */
static int open_user_net(const struct vmm_config *config, const struct vmm_wait *wait, int *ret_fd,
			 struct error *err)
{
	struct pair inner CLEANUP(pair_done) = { -1, -1 };
	struct pair outer CLEANUP(pair_done) = { -1, -1 };
	int r;

	r = pair_open(&inner);
	if (r == 0)
		r = pair_open(&outer);
	if (r < 0)
		return error_errno(err, r, "socketpair");
	r = start_passt(outer.b, wait, err);
	if (r == 0)
		r = start_gate(config, inner.b, outer.a, wait, err);
	if (r < 0)
		return error_wrap(err, "user-mode network");
	*ret_fd = take_fd(&inner.a);
	return 0;
}

int qemu_net_watch(const struct vmm_config *config)
{
	autoclose int run_fd = run_dir_open(config);

	return run_fd < 0 ? run_fd : net_gate_open(run_fd);
}

/*
 * What an earlier attempt has taken away or added may be missing or there. `type` is "tap", or
 * "socket": that speaks as a stream does, which would look for the descriptor where no monitor is.
 */
static int replace_net(struct qmp *q, const char *type, int fd, struct error *err)
{
	static const char *const old[] = { QEMU_NET_PORT, QEMU_NET_USER };
	struct error ignored;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(old) && !q->broken; i++)
		(void)!qmp_call(q, "netdev_del", json_pack("{s:s}", "id", old[i]), -1, NULL,
				&ignored);
	r = qmp_call(q, "getfd", json_pack("{s:s}", "fdname", QEMU_NET_USER), fd, NULL, err);
	if (r == 0)
		r = qmp_call(q, "netdev_add",
			     json_pack("{s:s, s:s, s:s}", "type", type, "id", QEMU_NET_USER, "fd",
				       QEMU_NET_USER),
			     -1, NULL, err);
	if (r == 0)
		r = qmp_call(q, "netdev_add",
			     json_pack("{s:s, s:s, s:i, s:s}", "type", "hubport", "id",
				       QEMU_NET_PORT, "hubid", 0, "netdev", QEMU_NET_USER),
			     -1, NULL, err);
	return r;
}

int qemu_net_renew(const struct vmm_config *config, const struct vmm_wait *wait, struct error *err)
{
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	autoclose int fd = -1;
	int r;

	if (host_is_offline())
		return error_set(err, ERR_UNAVAILABLE, "the host has no way out itself");
	/* Of a monitor that does not answer nothing is kept. */
	r = qemu_monitor(config, wait, &q, err);
	if (r == 0)
		r = open_user_net(config, wait, &fd, err);
	return r < 0 ? r : replace_net(&q, "socket", fd, err);
}

int qemu_net_probe(const struct vmm_wait *wait, struct error *err)
{
	struct pair pair CLEANUP(pair_done) = { -1, -1 };
	int r;

	if (host_is_offline())
		return 0;
	r = pair_open(&pair);
	if (r < 0)
		return error_errno(err, r, "socketpair");
	/* It ends when the pair is closed. */
	return start_passt(pair.b, wait, err);
}

int qemu_net_open(const struct vmm_config *config, const struct vmm_wait *wait,
		  enum qemu_net *ret_net, int *ret_fd, struct error *err)
{
	int fd = -1;
	int r;

	switch (config->net.mode) {
	case VMM_NET_NONE:
		*ret_net = QEMU_NET_NONE;
		*ret_fd = -1;
		return 0;
	case VMM_NET_USER:
		if (config->net.restrict_out || host_is_offline()) {
			*ret_net = QEMU_NET_CLOSED;
			*ret_fd = -1;
			return 0;
		}
		r = open_user_net(config, wait, &fd, err);
		if (r < 0)
			return r;
		*ret_net = QEMU_NET_STREAM;
		*ret_fd = fd;
		return 0;
	case VMM_NET_TAP:
		if (config->net.tap_fd < 0)
			return error_set(err, ERR_INTERNAL, "the tap is not open");
		fd = fcntl(config->net.tap_fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return error_errno(err, -errno, "duplicate the tap");
		*ret_net = QEMU_NET_TAP;
		*ret_fd = fd;
		return 0;
	}
	return error_set(err, ERR_INTERNAL, "unknown kind of network");
}

int qemu_net_join(const struct vmm_config *config, const struct vmm_wait *wait, struct error *err)
{
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	enum qemu_net net = QEMU_NET_CLOSED;
	autoclose int fd = -1;
	int r = qemu_net_open(config, wait, &net, &fd, err);

	if (r < 0 || fd < 0)
		return r;
	r = qemu_monitor(config, wait, &q, err);
	return r < 0 ? r : replace_net(&q, net == QEMU_NET_TAP ? "tap" : "socket", fd, err);
}
