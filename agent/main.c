/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-agent: /init of the initramfs, and then a resident process. It sets the root file system
 * up, stays PID 1 or hands that to the image's own init, and serves the guest link. It never ends:
 * whatever can't be done is reported over the link.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent/boot/boot.h"
#include "agent/service/service.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/link/protocol.h"

enum {
	CMDLINE_MAX = 64 * 1024,
	PORT_RETRY_MIN_US = 1000,
	PORT_RETRY_MAX_US = 1000 * 1000,
	VSOCK_BACKLOG = 4,
	OPEN_FILES_SOFT = 65536,
	OPEN_FILES_HARD = 1048576,
};

struct ports {
	struct agent *agent;
	struct loop_timer *timer;
	int64_t retry_us;
	int vsock_fd;
};

static void add_link(struct agent *agent, int fd, bool port)
{
	int r = agent_link_add(agent, fd, port);

	if (r < 0)
		log_error("serve a link: %s", strerrordesc_np(-r));
}

/* --- the virtio-serial port --- */

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static bool port_is_ours(const char *entry)
{
	autofree char *name = NULL;
	char path[PATH_MAX];
	size_t len;

	(void)snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry);
	if (read_file(path, 128, &name, &len) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return streq(name, LINK_PORT_NAME);
}

static int open_port(void)
{
	CLEANUP(closedir_p)
	DIR *dir = opendir("/sys/class/virtio-ports");
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		char path[PATH_MAX];
		int fd;

		if (e->d_name[0] == '.' || !port_is_ours(e->d_name))
			continue;
		(void)snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

/* The port shows up some time after its driver: looked for ever more rarely until it is there. */
static void look_for_port(void *data)
{
	struct ports *ports = data;
	int fd = open_port();

	if (fd >= 0) {
		add_link(ports->agent, fd, true);
		return;
	}
	loop_timer_set(ports->timer, ports->retry_us);
	ports->retry_us *= 2;
	if (ports->retry_us > PORT_RETRY_MAX_US)
		ports->retry_us = PORT_RETRY_MAX_US;
}

/* --- vsock --- */

/* Only the host may connect: a program in the guest could reach us through the loopback. */
static void on_vsock(void *data, uint32_t events)
{
	struct ports *ports = data;
	struct sockaddr_vm peer = { .svm_cid = VMADDR_CID_ANY };
	socklen_t len = sizeof(peer);
	int fd = accept4(ports->vsock_fd, (struct sockaddr *)&peer, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	if (peer.svm_cid == VMADDR_CID_HOST)
		add_link(ports->agent, fd, false);
	else
		close_keep_errno(fd);
}

static void listen_vsock(struct ports *ports)
{
	struct sockaddr_vm here = { .svm_family = AF_VSOCK,
				    .svm_port = LINK_VSOCK_PORT,
				    .svm_cid = VMADDR_CID_ANY };
	autoclose int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct loop_fd *source;

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    listen(fd, VSOCK_BACKLOG) < 0)
		return;
	ports->vsock_fd = fd;
	if (loop_fd_add(ports->agent->loop, fd, EPOLLIN, on_vsock, ports, &source) == 0)
		(void)take_fd(&fd);
}

/* --- service --- */

struct reaper {
	struct agent *agent;
	int fd;
};

static void on_child(void *data, uint32_t events)
{
	struct reaper *reaper = data;
	struct signalfd_siginfo info[4];

	(void)events;
	/* At most one is pending; what comes meanwhile wakes us again. */
	(void)!read(reaper->fd, info, sizeof(info));
	agent_reap(reaper->agent);
}

static int watch_children(struct reaper *reaper)
{
	struct loop_fd *source;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	reaper->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (reaper->fd < 0)
		return -errno;
	return loop_fd_add(reaper->agent->loop, reaper->fd, EPOLLIN, on_child, reaper, &source);
}

static int serve(struct agent *agent)
{
	struct ports ports = { .agent = agent, .retry_us = PORT_RETRY_MIN_US };
	struct reaper reaper = { .agent = agent };
	struct loop *loop;
	struct timespec now;
	int r = loop_new(&loop);

	if (r == 0)
		r = agent_init(agent, loop);
	if (r == 0)
		r = watch_children(&reaper);
	if (r == 0)
		r = loop_timer_new(loop, look_for_port, &ports, &ports.timer);
	if (r < 0)
		return r;
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	agent->boot_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	listen_vsock(&ports);
	look_for_port(&ports);
	return loop_run(loop);
}

/* --- boot --- */

/* Our PID 1 becomes the image's init; the agent goes on as its child. */
static void hand_over_to_init(struct agent *agent, struct boot_report *report, char *argv0)
{
	char init[] = "/sbin/init";
	char home[] = "HOME=/";
	char term[] = "TERM=linux";
	char *const argv[] = { init, NULL };
	char *const env[] = { home, term, NULL };
	pid_t pid;

	if (access(init, X_OK) < 0) {
		boot_problem(report, "the image has no /sbin/init; the agent is PID 1 instead");
		return;
	}
	pid = fork();
	if (pid == 0) {
		(void)setsid();
		/* systemd spares root's processes whose name begins so when it ends all others. */
		argv0[0] = '@';
		agent->system_init = true;
		return;
	}
	if (pid < 0) {
		boot_problem(report, "make a process: %s", strerrordesc_np(errno));
		return;
	}
	(void)execve(init, argv, env);
	log_error("run /sbin/init: %s", strerrordesc_np(errno));
	for (;;)
		if (wait(NULL) < 0)
			(void)pause();
}

static void set_up_network(const struct boot_settings *settings, struct boot_report *report)
{
	struct boot_net net;
	int r = boot_loopback_up();

	if (r < 0)
		boot_problem(report, "bring the loopback interface up: %s", strerrordesc_np(-r));
	if (settings->net[0] == '\0')
		return;
	r = boot_net_parse(settings->net, &net);
	if (r == 0)
		r = boot_net_apply(&net);
	if (r < 0)
		boot_problem(report, "set up the network (%s): %s", settings->net,
			     strerrordesc_np(-r));
}

static void boot(struct boot_settings *ret_settings, struct boot_report *report)
{
	static const struct rlimit files = { OPEN_FILES_SOFT, OPEN_FILES_HARD };
	autofree char *cmdline = NULL;
	size_t len;

	boot_mount_early(report);
	log_init("banger-agent", LOG_INFO);
	if (read_file("/proc/cmdline", CMDLINE_MAX, &cmdline, &len) < 0)
		boot_problem(report, "read the kernel's command line");
	boot_parse_cmdline(cmdline ? cmdline : "", ret_settings, report);
	boot_load_modules("/modules", report);
	boot_switch_root(ret_settings, report);
	boot_mount_late(!ret_settings->system_init, report);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (ret_settings->hostname[0]) {
		int r = boot_set_hostname(ret_settings->hostname);

		if (r < 0)
			boot_problem(report, "set the host name: %s", strerrordesc_np(-r));
	}
	set_up_network(ret_settings, report);
}

int main(int argc, char **argv)
{
	struct boot_report report = { .degraded = false };
	struct agent agent = { .in_guest = true };
	struct boot_settings settings;

	if (argc == 2 && streq(argv[1], "--version")) {
		(void)printf("banger-agent %s\n", BANGER_VERSION);
		return EXIT_SUCCESS;
	}
	if (getpid() != 1) {
		(void)fputs("banger-agent is the first process of a VM; there is nothing else to "
			    "do for it\n",
			    stderr);
		return EXIT_FAILURE;
	}
	/* Keys of hash tables; the random numbers for them would have to be waited for. */
	json_object_seed(1);
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	boot(&settings, &report);
	if (settings.system_init)
		hand_over_to_init(&agent, &report, argv[0]);
	agent.degraded = report.degraded;
	memcpy(agent.problem, report.problem, sizeof(agent.problem));
	log_error("service ended: %s", strerrordesc_np(-serve(&agent)));
	for (;;)
		(void)pause();
}
