/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/fc_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/fc_requests.h"
#include "server/vmm/run_dir.h"

/* Where Firecracker makes its API's socket when nobody says otherwise. */
#define JAIL_API_SOCK "run/firecracker.socket"

static int root_open(const struct vmm_config *config)
{
	int fd = open(config->jail->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int link_socket(const struct fc_launch *launch, const char *name, const char *in_jail)
{
	autofree char *target = path_join(launch->config->jail->root, in_jail);

	if (!target)
		return -ENOMEM;
	if (unlinkat(launch->run_dir_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return symlinkat(target, launch->run_dir_fd, name) < 0 ? -errno : 0;
}

int fc_launch_jailed(struct fc_launch *launch, const struct vmm_wait *wait, struct proc *ret_proc,
		     struct error *err)
{
	const struct vmm_jail *jail = launch->config->jail;
	autoclose int console = run_console_fifo(launch->run_dir_fd);
	autoclose int pidfd = -1;
	pid_t pid;
	int r;

	(void)wait;
	if (console < 0)
		return error_errno(err, console, "create %s", RUN_CONSOLE_FIFO);
	r = link_socket(launch, RUN_API_SOCK, JAIL_API_SOCK);
	if (r == 0)
		r = link_socket(launch, RUN_LINK_SOCK, RUN_LINK_SOCK);
	if (r < 0)
		return error_errno(err, r, "sockets of the jail");
	r = jail->launch(jail->data, launch->config, console, &pid, &pidfd, err);
	if (r < 0)
		return r;
	/* The number is pinned by the first pidfd until there is a second. */
	r = proc_adopt(pid, 0, ret_proc);
	return r < 0 ? error_errno(err, r, "the jailed process") : 0;
}

/* `from` may be a link to the file of this version; the file itself gets the second name. */
static int link_file(int root, const char *from, const char *name, struct stat *ret_st,
		     struct error *err)
{
	if (unlinkat(root, name, 0) < 0 && errno != ENOENT)
		return error_errno(err, -errno, "replace %s in the jail", name);
	if (linkat(AT_FDCWD, from, root, name, AT_SYMLINK_FOLLOW) < 0)
		return error_errno(err, -errno, "link %s into the jail", from);
	if (fstatat(root, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, -errno, "stat %s", from);
	return 0;
}

int fc_jail_fill(struct fc_launch *launch, struct error *err)
{
	const struct vmm_config *config = launch->config;
	autoclose int root = root_open(config);
	struct stat st;
	int r = 0;

	if (root < 0)
		return error_errno(err, root, "open the jail %s", config->jail->root);
	if (launch->with_boot)
		r = link_file(root, config->kernel, FC_JAIL_KERNEL, &st, err);
	if (r == 0 && launch->with_boot && config->initrd)
		r = link_file(root, config->initrd, FC_JAIL_INITRD, &st, err);
	for (size_t i = 0; r == 0 && i < config->n_disks; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), FC_JAIL_DISK "%zu", i);
		r = link_file(root, config->disks[i].path, name, &st, err);
		if (r == 0)
			fc_disk_id(st.st_dev, st.st_rdev, st.st_ino, launch->disk_ids[i]);
	}
	return r;
}

int fc_jail_move_out(const struct vmm_config *config, const char *name, int dir_fd,
		     struct error *err)
{
	autoclose int root = root_open(config);

	if (root < 0 || renameat(root, name, dir_fd, name) < 0)
		return error_errno(err, root < 0 ? root : -errno, "take %s out of the jail", name);
	return 0;
}

int fc_jail_link_in(const struct vmm_config *config, const char *name, int dir_fd,
		    struct error *err)
{
	autoclose int root = root_open(config);

	if (root < 0)
		return error_errno(err, root, "open the jail %s", config->jail->root);
	if ((unlinkat(root, name, 0) < 0 && errno != ENOENT) ||
	    linkat(dir_fd, name, root, name, 0) < 0)
		return error_errno(err, -errno, "put %s into the jail", name);
	return 0;
}
