/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.create, cgroup.remove, vm.launch, jail.remove. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { CPU_PERIOD_US = 100 * 1000 };

/* "vm-<id>" below the service's own cgroup. */
static void cgroup_name(const char id[HELPER_ID_LEN], char *name, size_t size)
{
	(void)snprintf(name, size, "vm-%.16s", id);
}

int cgroup_write(int dir_fd, const char *file, const char *text)
{
	autoclose int fd = open_beneath(dir_fd, file, O_WRONLY, 0);

	return fd < 0 ? fd : write_all(fd, text, strlen(text));
}

/* `value` 0 is no limit. */
static int write_limit(int dir_fd, const char *file, uint64_t value, const char *suffix)
{
	char text[48];

	if (value)
		(void)snprintf(text, sizeof(text), "%" PRIu64 "%s", value, suffix);
	else
		(void)snprintf(text, sizeof(text), "max%s", suffix);
	return cgroup_write(dir_fd, file, text);
}

int run_cgroup_create(struct helper *h, struct call *call)
{
	const struct helper_cgroup_request *req = call->body;
	autoclose int dir = -1;
	char name[32];
	int r;

	if (h->cgroup_fd < 0)
		return -EOPNOTSUPP;
	cgroup_name(req->vm_id, name, sizeof(name));
	dir = open_subdir(h->cgroup_fd, name, 0755);
	if (dir < 0)
		return dir;
	r = write_limit(dir, "memory.max", req->memory_bytes, "");
	if (r == 0)
		r = write_limit(dir, "cpu.max", (uint64_t)req->cpu_percent * CPU_PERIOD_US / 100,
				" 100000");
	if (r == 0)
		r = write_limit(dir, "pids.max", req->pids, "");
	return r < 0 ? r : 0;
}

int run_cgroup_remove(struct helper *h, struct call *call)
{
	const struct helper_vm_request *req = call->body;
	char name[32];

	if (h->cgroup_fd < 0)
		return 0;
	cgroup_name(req->vm_id, name, sizeof(name));
	if (unlinkat(h->cgroup_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return errno == EBUSY ? refuse(call, HELPER_BUSY, -EBUSY) : -errno;
}

/*
 * A program that root runs: a regular file, root's alone, in folders that are root's alone, with no
 * link on the way. Checked at every launch.
 */
static bool binary_ok(struct helper *h, const char *path)
{
	char part[4096];
	struct stat st;

	/* Longer is no path for lstat(2) either. */
	(void)snprintf(part, sizeof(part), "%s", path);
	if (h->sys->lstat(path, &st) < 0 || helper_binary_problem(&st))
		return false;
	for (char *slash = NULL; slash != part;) {
		slash = strrchr(part, '/');
		slash[slash == part] = '\0';
		if (h->sys->lstat(part, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		    (st.st_mode & (S_IWGRP | S_IWOTH)))
			return false;
	}
	return true;
}

/* Into the VM's cgroup where there is one. Our own child: its number can't have been given away. */
static void join_cgroup(const struct helper *h, const char *id, pid_t pid)
{
	char path[64];
	char text[16];

	(void)snprintf(path, sizeof(path), "vm-%.16s/cgroup.procs", id);
	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	(void)!cgroup_write(h->cgroup_fd, path, text);
}

int run_vm_launch(struct helper *h, struct call *call)
{
	const struct helper_vm_request *req = call->body;
	const struct config *c = h->config;
	struct proc proc = PROC_INIT;
	char id[HELPER_ID_LEN + 1];
	char uid[16];
	char gid[16];
	char jail[128];
	const char *const argv[] = {
		c->jailer, "--id",  id,  "--exec-file",       c->firecracker, "--uid",
		uid,       "--gid", gid, "--chroot-base-dir", c->jail_dir,    "--cgroup-version",
		"2",       NULL
	};
	struct stat st;
	int r;

	if (call->fd >= 0 && (fstat(call->fd, &st) < 0 || !S_ISFIFO(st.st_mode)))
		return refuse(call, HELPER_BAD_FD, -EINVAL);
	if (!binary_ok(h, c->firecracker) || !binary_ok(h, c->jailer))
		return refuse(call, HELPER_BINARY, -ENOEXEC);
	if (h->jail_fd < 0)
		return -EOPNOTSUPP;
	(void)snprintf(id, sizeof(id), "%.16s", req->vm_id);
	(void)snprintf(uid, sizeof(uid), "%u", c->owner_uid);
	(void)snprintf(gid, sizeof(gid), "%u", c->owner_gid);
	(void)snprintf(jail, sizeof(jail), "%s/%s", strrchr(c->firecracker, '/') + 1, id);
	if (fstatat(h->jail_fd, jail, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return refuse(call, HELPER_BUSY, -EEXIST);
	r = h->sys->spawn(argv, call->fd, &proc);
	if (r < 0)
		return r;
	join_cgroup(h, id, proc.pid);
	call->reply.launch.pid = proc.pid;
	call->reply_fd = proc.pidfd;
	return 0;
}

int run_jail_remove(struct helper *h, struct call *call)
{
	const struct helper_vm_request *req = call->body;
	autoclose int jails = -1;
	char id[HELPER_ID_LEN + 1];

	if (h->jail_fd < 0)
		return 0;
	jails = open_beneath(h->jail_fd, strrchr(h->config->firecracker, '/') + 1,
			     O_RDONLY | O_DIRECTORY, 0);
	if (jails < 0)
		return jails == -ENOENT ? 0 : jails;
	(void)snprintf(id, sizeof(id), "%.16s", req->vm_id);
	return remove_tree_at(jails, id);
}
