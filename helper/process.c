/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.signal and process.kill.
 *
 * Order matters: the process is pinned by a pidfd first, then proved to be banger's, then signalled
 * through the pidfd. Should the number go to another process in between, either the proof is read
 * from that other process and the signal goes nowhere, or both are about the same one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

ssize_t read_proc(const struct helper *h, pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	autoclose int fd = -1;
	ssize_t n = 1;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	fd = open_beneath(h->proc_fd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	while (n > 0 && len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	buf[len] = '\0';
	return n < 0 ? -errno : len == size - 1 ? -E2BIG : (ssize_t)len;
}

/*
 * Where the socket is to lie on the way to it: every folder is opened from the root without
 * following a link, so no link in the runtime directory leads elsewhere.
 */
static bool socket_in_place(const struct helper *h, const char *path)
{
	char folder[4096];
	autoclose int fd = -1;

	if (!path_below(path, h->config->runtime_dir) || strlen(path) > sizeof(folder))
		return false;
	(void)snprintf(folder, sizeof(folder), "%s", path + 1);
	*strrchr(folder, '/') = '\0';
	fd = open_beneath(h->root_fd, folder, O_PATH | O_DIRECTORY, 0);
	return fd >= 0;
}

/* The folder in /proc belongs to the process's user: only the owner's processes are touched. */
static bool runs_as_owner(const struct helper *h, pid_t pid)
{
	char name[16];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%d", (int)pid);
	return fstatat(h->proc_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_uid == h->config->owner_uid;
}

static bool process_ours(const struct helper *h, pid_t pid)
{
	static char buf[PROC_FILE_MAX];
	const char *sock;
	ssize_t len = read_proc(h, pid, "cgroup", buf, sizeof(buf));

	if (len > 0 && cgroup_below(buf, h->unit_path))
		return true;
	if (!runs_as_owner(h, pid))
		return false;
	len = read_proc(h, pid, "cmdline", buf, sizeof(buf));
	sock = len > 0 ? api_sock_of(buf, (size_t)len) : NULL;
	return sock && socket_in_place(h, sock);
}

int run_signal(struct helper *h, struct call *call)
{
	const struct helper_signal_request *req = call->body;
	autoclose int pidfd = h->sys->pidfd_open(req->pid, 0);

	if (pidfd < 0)
		return refuse(call, HELPER_GONE, -ESRCH);
	if (!process_ours(h, req->pid))
		return refuse(call, HELPER_NOT_OURS, -EPERM);
	if (h->sys->pidfd_send_signal(pidfd, signal_asked(call), NULL, 0) == 0)
		return 0;
	return errno == ESRCH ? refuse(call, HELPER_GONE, -ESRCH) : -errno;
}
