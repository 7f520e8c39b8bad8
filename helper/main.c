/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-helper: the privileged half of banger. Four stages:
 *
 *  start  has root's powers, reads the command line. Does not touch what a caller can reach.
 *  bind   opens folders, makes the socket, moves into a cgroup of its own. Answers nobody yet.
 *  drop   gives up capabilities, new privileges and system calls.
 *  serve  answers requests. Opens nothing but what an operation derives from a VM id.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

enum { USAGE = 2, FILES_MAX = 128, FILES_HARD_MAX = 65536 };

static const char usage[] =
	"usage: banger-helper --owner-uid UID --owner-gid GID [--subnet A.B.C.D/N] [--ula PREFIX]\n"
	"                     [--runtime-dir DIR] [--jail-dir DIR] [--firecracker FILE]\n"
	"                     [--jailer FILE] [--socket FILE] [--release-cgroup]\n"
	"       banger-helper --print-capabilities\n"
	"Started by systemd as root; see docs/privileges.md.\n";

/* A decimal number up to UINT_MAX. */
static bool parse_number(const char *s, unsigned int *ret)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || *s < '0' || *s > '9' || *end || n > UINT_MAX)
		return false;
	*ret = (unsigned int)n;
	return true;
}

/* A private network, 16 to 28 bits, without host bits. */
static bool parse_subnet(const char *s, struct config *c)
{
	const char *slash = strchr(s, '/');
	char text[INET_ADDRSTRLEN];
	struct in_addr addr;
	unsigned int prefix;
	uint32_t net;

	if (!slash || (size_t)(slash - s) >= sizeof(text) || !parse_number(slash + 1, &prefix))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", (int)(slash - s), s);
	if (prefix < 16 || prefix > 28 || inet_pton(AF_INET, text, &addr) != 1)
		return false;
	net = ntohl(addr.s_addr);
	if (net & (UINT32_MAX >> prefix))
		return false;
	if (net >> 24 != 10 && net >> 20 != 0xac1 && net >> 16 != 0xc0a8)
		return false;
	c->subnet = net;
	c->prefix = prefix;
	return true;
}

/* fc00::/7, nothing set in the lower half. */
static bool parse_ula(const char *s, struct config *c)
{
	static const uint8_t zero[8];

	return inet_pton(AF_INET6, s, c->ula) == 1 && (c->ula[0] & 0xfe) == 0xfc &&
	       memcmp(c->ula + 8, zero, sizeof(zero)) == 0;
}

static bool parse_option(int option, struct config *c)
{
	const char **path = option == 'r'   ? &c->runtime_dir
			    : option == 'j' ? &c->jail_dir
			    : option == 'f' ? &c->firecracker
			    : option == 'J' ? &c->jailer
			    : option == 's' ? &c->socket
					    : NULL;

	if (path)
		*path = optarg;
	return path            ? path_below(optarg, "")
	       : option == 'u' ? parse_number(optarg, &c->owner_uid)
	       : option == 'g' ? parse_number(optarg, &c->owner_gid)
	       : option == 'n' ? parse_subnet(optarg, c)
			       : option == '6' && parse_ula(optarg, c);
}

static bool parse_args(int argc, char **argv, struct config *c, bool *ret_release)
{
	static const struct option options[] = {
		{ "owner-uid", required_argument, NULL, 'u' },
		{ "owner-gid", required_argument, NULL, 'g' },
		{ "subnet", required_argument, NULL, 'n' },
		{ "ula", required_argument, NULL, '6' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "jail-dir", required_argument, NULL, 'j' },
		{ "firecracker", required_argument, NULL, 'f' },
		{ "jailer", required_argument, NULL, 'J' },
		{ "socket", required_argument, NULL, 's' },
		{ "release-cgroup", no_argument, NULL, 'R' },
		{ "print-capabilities", no_argument, NULL, 'C' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	/* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'C')
			exit(puts(HELPER_CAPABILITIES) < 0); /* NOLINT(concurrency-mt-unsafe) */
		if (option == 'R')
			*ret_release = true;
		else if (!parse_option(option, c))
			return false;
	}
	return optind == argc && c->owner_uid != (uid_t)-1 && c->owner_gid != (gid_t)-1;
}

/* Limits of the helper that its children may raise again where they have to. */
static void limit_resources(void)
{
	const struct rlimit files = { .rlim_cur = FILES_MAX, .rlim_max = FILES_HARD_MAX };
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int stage_start(void)
{
	if (getauxval(AT_SECURE) || getuid() != geteuid() || getgid() != getegid()) {
		log_error("refuses to run set-uid or set-gid");
		return -EPERM;
	}
	if (geteuid() != 0) {
		log_error("must be started by root");
		return -EPERM;
	}
	(void)clearenv();
	if (close_range(3, UINT_MAX, 0) < 0)
		return -errno;
	limit_resources();
	/* Folders that the jailer makes on the way to a jail can be passed, not read. */
	(void)umask(066);
	return chdir("/") < 0 ? -errno : 0;
}

/* The part of our own path in /proc/self/cgroup that ends with the unit; "" when there is none. */
static void find_unit(struct helper *h)
{
	autofree char *text = NULL;
	const char *line;

	if (read_file("/proc/self/cgroup", 64 * 1024, &text, NULL) < 0)
		return;
	for (line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *at = strstr(line, "/" HELPER_UNIT);
		const char *path = strchr(line, ':');
		const char *end = at ? at + strlen("/" HELPER_UNIT) : NULL;

		path = path ? strchr(path + 1, ':') : NULL;
		if (!at || !path || at < path || strchr("/\n", *end) == NULL ||
		    strcspn(line, "\n") < (size_t)(at - line))
			continue;
		(void)snprintf(h->unit_path, sizeof(h->unit_path), "%.*s", (int)(end - path - 1),
			       path + 1);
		return;
	}
}

/* The service's own cgroup on cgroup v2; a negative errno: there is none. */
static int open_unit(const struct helper *h)
{
	autoclose int root = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (!h->unit_path[0] || root < 0 || fstatfs(root, &fs) < 0 ||
	    fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENOENT;
	return open_beneath(root, h->unit_path + 1, O_RDONLY | O_DIRECTORY, 0);
}

/* With ourselves in a leaf of it, so that VMs can have limits. */
static void enter_cgroup(struct helper *h)
{
	autoclose int unit = open_unit(h);
	autoclose int leaf = -1;

	if (unit < 0)
		return;
	leaf = open_subdir(unit, "helper", 0755);
	if (leaf < 0 || cgroup_write(leaf, "cgroup.procs", "0") < 0 ||
	    cgroup_write(unit, "cgroup.subtree_control", "+cpu +memory +pids") < 0) {
		log_warn("no limits for VMs: the service's cgroup is not delegated");
		return;
	}
	h->cgroup_fd = take_fd(&unit);
}

/* Before a restart: a cgroup that hands controllers down can't take systemd's new main process. */
static int release_cgroup(const struct helper *h)
{
	autoclose int unit = open_unit(h);

	if (unit >= 0)
		(void)!cgroup_write(unit, "cgroup.subtree_control", "-cpu -memory -pids");
	return 0;
}

static int stage_bind(struct helper *h, int *ret_listen)
{
	h->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	h->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->root_fd < 0 || h->proc_fd < 0)
		return -errno;
	/* main() has set it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	h->jail_fd = open_beneath(h->root_fd, h->config->jail_dir + 1, O_RDONLY | O_DIRECTORY, 0);
	if (h->jail_fd < 0)
		log_info("no folder %s (errno %d): no jails", h->config->jail_dir, -h->jail_fd);
	enter_cgroup(h);
	*ret_listen = server_listen(h->config);
	if (*ret_listen < 0)
		log_error("%s: errno %d", h->config->socket, -*ret_listen);
	return *ret_listen;
}

static int signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
	static struct config config = {
		.owner_uid = (uid_t)-1,
		.owner_gid = (gid_t)-1,
		.subnet = 0x0ad10000,
		.prefix = 16,
		.ula = { 0xfd, 'b', 'a', 'n', 'g', 'r' },
		.runtime_dir = "/run/banger",
		.jail_dir = "/var/lib/banger/jail",
		.firecracker = "/usr/bin/firecracker",
		.jailer = "/usr/bin/jailer",
		.socket = HELPER_SOCKET,
	};
	static struct helper helper = {
		.root_fd = -1, .proc_fd = -1, .cgroup_fd = -1, .jail_fd = -1
	};
	struct helper *h = &helper;
	bool release = false;
	int listen_fd = -1;
	int signal_fd;
	int r;

	log_init("banger-helper", LOG_INFO);
	if (!parse_args(argc, argv, &config, &release)) {
		(void)fputs(usage, stderr);
		return USAGE;
	}
	r = stage_start();
	if (r < 0)
		return EXIT_FAILURE;
	h->config = &config;
	h->sys = &sys_linux;
	h->self = getpid();
	find_unit(h);
	if (release)
		return release_cgroup(h);
	r = stage_bind(h, &listen_fd);
	if (r < 0)
		return EXIT_FAILURE;
	signal_fd = signals();
	if (signal_fd < 0)
		return EXIT_FAILURE;
	r = confine();
	if (r < 0) {
		log_error("can't give up privileges: errno %d", -r);
		return EXIT_FAILURE;
	}
	log_info("ready on %s for uid %u", config.socket, config.owner_uid);
	r = server_run(h, listen_fd, signal_fd);
	(void)unlink(config.socket);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
