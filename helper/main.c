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
	" [--runtime-dir DIR] [--jail-dir DIR] [--firecracker FILE] [--jailer FILE]\n"
	" [--socket FILE] [--release-cgroup | --print-capabilities]: see docs/privileges.md\n";

static struct config config = {
	.owner_uid = (uid_t)-1,
	.owner_gid = (gid_t)-1,
	.subnet = 0x0ad10000,
	.prefix = 16,
	.ula = { 0xfd, 'b', 'a', 'n', 'g', 'r' },
	.runtime_dir = "/run/banger",
	.jail_dir = HELPER_JAIL_DIR,
	.firecracker = "/usr/bin/firecracker",
	.jailer = "/usr/bin/jailer",
	.socket = HELPER_SOCKET,
};

/* A decimal number below UINT_MAX, which is nobody's id. */
static bool parse_number(const char *s, void *ret)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	*(unsigned int *)ret = (unsigned int)n;
	return *s >= '0' && *s <= '9' && *end == '\0' && n < UINT_MAX;
}

/* A private network, 16 to 28 bits, without host bits. */
static bool parse_subnet(const char *s, void *ret)
{
	struct config *c = ret;
	const char *slash = strchr(s, '/');
	char text[INET_ADDRSTRLEN];
	struct in_addr addr;

	if (!slash || (size_t)(slash - s) >= sizeof(text) || !parse_number(slash + 1, &c->prefix))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", (int)(slash - s), s);
	if (c->prefix < 16 || c->prefix > 28 || inet_pton(AF_INET, text, &addr) != 1)
		return false;
	c->subnet = ntohl(addr.s_addr);
	return (c->subnet & (UINT32_MAX >> c->prefix)) == 0 &&
	       (c->subnet >> 24 == 10 || c->subnet >> 20 == 0xac1 || c->subnet >> 16 == 0xc0a8);
}

/* fc00::/7, nothing set in the lower half. */
static bool parse_ula(const char *s, void *ret)
{
	uint8_t *ula = ret;

	return inet_pton(AF_INET6, s, ula) == 1 && (ula[0] & 0xfe) == 0xfc && all_zero(ula + 8, 8);
}

static bool parse_path(const char *s, void *ret)
{
	*(const char **)ret = s;
	return path_below(s, "");
}

static const struct {
	const char *name;
	bool (*parse)(const char *s, void *ret);
	void *ret;
} options[] = {
	{ "--owner-uid", parse_number, &config.owner_uid },
	{ "--owner-gid", parse_number, &config.owner_gid },
	{ "--subnet", parse_subnet, &config },
	{ "--ula", parse_ula, config.ula },
	{ "--runtime-dir", parse_path, &config.runtime_dir },
	{ "--jail-dir", parse_path, &config.jail_dir },
	{ "--firecracker", parse_path, &config.firecracker },
	{ "--jailer", parse_path, &config.jailer },
	{ "--socket", parse_path, &config.socket },
};

static bool parse_option(const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (streq(name, options[i].name))
			return value && options[i].parse(value, options[i].ret);
	return false;
}

static bool parse_args(char **argv, bool *ret_release)
{
	for (argv++; *argv; argv++) {
		if (streq(*argv, "--print-capabilities"))
			/* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
			exit(puts(HELPER_CAPABILITIES) < 0);
		if (streq(*argv, "--release-cgroup"))
			*ret_release = true;
		else if (parse_option(argv[0], argv[1]))
			argv++;
		else
			return false;
	}
	return config.owner_uid != (uid_t)-1 && config.owner_gid != (gid_t)-1;
}

static int stage_start(struct helper *h)
{
	/* Its children may raise this one again where they have to. */
	const struct rlimit files = { .rlim_cur = FILES_MAX, .rlim_max = FILES_HARD_MAX };
	const struct rlimit cores = { 0, 0 };

	if (getauxval(AT_SECURE) || getuid() != geteuid() || getgid() != getegid() ||
	    geteuid() != 0) {
		log_error("must be started by root, and never set-uid or set-gid");
		return -EPERM;
	}
	(void)clearenv();
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)setrlimit(RLIMIT_CORE, &cores);
	/* Folders that the jailer makes on the way to a jail can be passed, not read. */
	(void)umask(066);
	if (close_range(3, UINT_MAX, 0) < 0 || chdir("/") < 0)
		return -errno;
	h->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	h->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return h->root_fd < 0 || h->proc_fd < 0 ? -errno : 0;
}

/* The part of our own path in /proc/<pid>/cgroup that ends with the unit; "" when there is none. */
static void find_unit(struct helper *h)
{
	static const char unit[] = "/" HELPER_UNIT;
	static char text[PROC_FILE_MAX];
	ssize_t len = read_proc(h, h->self, "cgroup", text, sizeof(text));

	for (const char *line = len > 0 ? text : NULL; line; line = next_line(line)) {
		const char *path = cgroup_path(line);
		const char *at = path ? strstr(path, unit) : NULL;
		const char *end = at ? at + strlen(unit) : NULL;

		if (at && at < path + strcspn(path, "\n") && strchr("/\n", *end))
			(void)snprintf(h->unit_path, sizeof(h->unit_path), "%.*s",
				       (int)(end - path), path);
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

/* The socket that listens; -errno. */
static int stage_bind(struct helper *h)
{
	int fd;

	h->jail_fd = open_beneath(h->root_fd, config.jail_dir + 1, O_RDONLY | O_DIRECTORY, 0);
	if (h->jail_fd < 0)
		log_info("no folder %s (errno %d): no jails", config.jail_dir, -h->jail_fd);
	enter_cgroup(h);
	fd = server_listen(&config);
	if (fd < 0)
		log_error("%s: errno %d", config.socket, -fd);
	return fd;
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
	static struct helper helper = {
		.config = &config, .sys = &sys_linux, .cgroup_fd = -1, .jail_fd = -1
	};
	struct helper *h = &helper;
	bool release = false;
	int listen_fd, signal_fd, r;

	log_init("banger-helper", LOG_INFO);
	if (argc < 1 || !parse_args(argv, &release)) {
		(void)fputs(usage, stderr);
		return USAGE;
	}
	h->self = getpid();
	if (stage_start(h) < 0)
		return EXIT_FAILURE;
	find_unit(h);
	if (release)
		return release_cgroup(h);
	listen_fd = stage_bind(h);
	signal_fd = signals();
	if (listen_fd < 0 || signal_fd < 0)
		return EXIT_FAILURE;
	r = confine();
	if (r < 0) {
		log_error("can't give up privileges: errno %d", -r);
		return EXIT_FAILURE;
	}
	rules_try(h);
	log_info("ready on %s for uid %u", config.socket, config.owner_uid);
	r = server_run(h, listen_fd, signal_fd);
	(void)unlink(config.socket);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
