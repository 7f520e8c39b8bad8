/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/vmm/cgroup.h"
#include "server/vmm/fc_client.h"
#include "server/vmm/fc_requests.h"
#include "server/vmm/run_dir.h"

/* The API socket is made by Firecracker itself, a few milliseconds after its start. */
enum { API_RETRY_MS = 1, LAST_WORDS_MS = 200, FDS_MAX = FC_FD_MAX_ };

struct fds {
	int v[FDS_MAX];
	struct proc_fd list[FDS_MAX];
	size_t n;
	int console;
	int log;
};

static void fds_done(const struct fds *f)
{
	for (size_t i = 0; i < f->n; i++)
		close_keep_errno(f->v[i]);
	close_keep_errno(f->console);
	close_keep_errno(f->log);
}

/* Takes `fd` over, also when it is a negative errno. */
static int fds_add(struct fds *f, int fd, int theirs, const char *what, struct error *err)
{
	if (fd < 0)
		return error_errno(err, fd, "open %s", what);
	f->v[f->n] = fd;
	f->list[f->n] = (struct proc_fd){ .ours = fd, .theirs = theirs };
	f->n++;
	return 0;
}

static int open_file(const char *path, bool read_only)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int open_disks(struct fds *f, struct fc_launch *launch, struct error *err)
{
	const struct vmm_config *config = launch->config;

	for (size_t i = 0; i < config->n_disks; i++) {
		const struct vmm_disk *disk = &config->disks[i];
		struct stat st;
		int r = fds_add(f, open_file(disk->path, disk->read_only), FC_FD_DISKS + (int)i,
				disk->path, err);

		if (r < 0)
			return r;
		if (fstat(f->v[f->n - 1], &st) < 0)
			return error_errno(err, -errno, "stat %s", disk->path);
		fc_disk_id(st.st_dev, st.st_rdev, st.st_ino, launch->disk_ids[i]);
	}
	return 0;
}

static int open_all(struct fds *f, struct fc_launch *launch, struct error *err)
{
	const struct vmm_config *config = launch->config;
	int dir = fcntl(launch->run_dir_fd, F_DUPFD_CLOEXEC, 3);
	int r;

	r = fds_add(f, dir < 0 ? -errno : dir, FC_FD_RUN_DIR, "the run folder", err);
	if (r == 0 && launch->with_boot)
		r = fds_add(f, open_file(config->kernel, true), FC_FD_KERNEL, config->kernel, err);
	if (r == 0 && launch->with_boot && config->initrd)
		r = fds_add(f, open_file(config->initrd, true), FC_FD_INITRD, config->initrd, err);
	if (r == 0)
		r = open_disks(f, launch, err);
	if (r < 0)
		return r;
	f->console = run_console_fifo(launch->run_dir_fd);
	if (f->console < 0)
		return error_errno(err, f->console, "create %s", RUN_CONSOLE_FIFO);
	f->log = run_log_create(launch->run_dir_fd);
	return f->log < 0 ? error_errno(err, f->log, "create %s", RUN_LOG) : 0;
}

/* The real path where it fits into a socket address, so that the process can be told by it. */
static void api_path(const struct vmm_config *config, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s/" RUN_API_SOCK, config->run_dir);

	if (n < 0 || (size_t)n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		(void)snprintf(buf, size, "/proc/self/fd/%d/" RUN_API_SOCK, FC_FD_RUN_DIR);
}

int fc_launch_direct(struct fc_launch *launch, const struct vmm_wait *wait, struct proc *ret_proc,
		     struct error *err)
{
	autofree char *binary = proc_find_program("firecracker");
	struct fds fds CLEANUP(fds_done) = { .console = -1, .log = -1 };
	struct proc_spec spec = PROC_SPEC_INIT;
	char socket[512];
	const char *const argv[] = { binary,       "--id", launch->config->id,
				     "--api-sock", socket, "--level",
				     "Error",      NULL };
	int r;

	(void)wait;
	if (!binary)
		return error_set(err, ERR_UNSUPPORTED, "firecracker is not installed");
	r = open_all(&fds, launch, err);
	if (r < 0)
		return r;
	/* Firecracker removes neither socket at its end, and refuses to start over one. */
	(void)unlinkat(launch->run_dir_fd, RUN_API_SOCK, 0);
	(void)unlinkat(launch->run_dir_fd, RUN_LINK_SOCK, 0);
	api_path(launch->config, socket, sizeof(socket));
	spec.argv = argv;
	spec.stdout_fd = fds.console;
	spec.stderr_fd = fds.log;
	spec.fds = fds.list;
	spec.n_fds = fds.n;
	spec.new_session = true;
	r = proc_spawn(&spec, ret_proc, err);
	if (r == 0)
		r = cgroup_join(launch->config->cgroup_procs, ret_proc, err);
	if (r < 0)
		proc_kill(ret_proc);
	return r;
}

/* 0 to try again; the process has not ended. */
static int pause_a_moment(const struct proc *proc, const struct vmm_wait *wait, struct error *err)
{
	struct pollfd p[2] = { { .fd = proc->pidfd, .events = POLLIN },
			       { .fd = wait->cancel_fd, .events = POLLIN } };

	if (clock_mono_us() >= wait->deadline_us)
		return error_set(err, ERR_TIMEOUT, "Firecracker's API did not come up in time");
	(void)poll(p, 2, API_RETRY_MS);
	if (p[1].revents)
		return error_set(err, ERR_CANCELLED, "cancelled");
	if (p[0].revents)
		return error_set(err, ERR_INTERNAL, "Firecracker ended at once");
	return 0;
}

int fc_await_api(int run_dir_fd, const struct proc *proc, const struct vmm_wait *wait,
		 struct fc_version *ret_version, struct error *err)
{
	struct fc_version version = { 0 };
	json_auto_t *reply = NULL;
	const char *text;
	char is[24];
	char min[24];

	for (;;) {
		struct error failed = ERROR_INIT;
		int r = fc_call(run_dir_fd, RUN_API_SOCK, "GET", "/version", NULL, wait, &reply,
				&failed);

		if (r == 0)
			break;
		if (failed.code != ERR_UNAVAILABLE) {
			*err = failed;
			return r;
		}
		r = pause_a_moment(proc, wait, err);
		if (r < 0)
			return r;
	}
	text = json_string_value(json_object_get(reply, "firecracker_version"));
	if (!text || fc_version_parse(text, &version) < 0)
		return error_set(err, ERR_INTERNAL, "Firecracker does not tell its version");
	if (fc_version_compare(&version, &FC_MIN_SUPPORTED) < 0)
		return error_set(err, ERR_UNSUPPORTED,
				 "Firecracker v%s is older than the minimum, v%s",
				 fc_version_format(&version, is, sizeof(is)),
				 fc_version_format(&FC_MIN_SUPPORTED, min, sizeof(min)));
	*ret_version = version;
	return 0;
}

const char *fc_exit_meaning(int exit_status)
{
	static const struct {
		int status;
		const char *meaning;
	} table[] = {
		{ 0, "the guest rebooted or powered off, or its kernel panicked" },
		{ 1, "Firecracker met an error, or the guest's processor made one" },
		{ 2, "Firecracker met an error that it did not expect" },
		{ 148, "Firecracker made a system call that its filter does not allow" },
		{ 149, "Firecracker lost memory that it had mapped (SIGBUS)" },
		{ 150, "Firecracker crashed (SIGSEGV)" },
		{ 151, "a file outgrew the limit on file sizes" },
		{ 152, "Firecracker did not accept its configuration" },
		{ 153, "Firecracker did not understand its arguments" },
		{ 154, "Firecracker used up its limit of processor time" },
		{ 156, "Firecracker was hung up (SIGHUP)" },
		{ 157, "Firecracker met an illegal instruction" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].status == exit_status)
			return table[i].meaning;
	}
	return NULL;
}
