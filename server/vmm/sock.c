/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/sock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum { BACKLOG = 8 };

static int address(int dir_fd, const char *name, struct sockaddr_un *ret_addr)
{
	int n;

	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret_addr->sun_path, sizeof(ret_addr->sun_path), "/proc/self/fd/%d/%s", dir_fd,
		     name);
	return n < 0 || (size_t)n >= sizeof(ret_addr->sun_path) ? -ENAMETOOLONG : 0;
}

int sock_listen_at(int dir_fd, const char *name)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	int r;

	if (fd < 0)
		return -errno;
	r = address(dir_fd, name, &addr);
	if (r < 0)
		return r;
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	/* The file takes its mode from the socket's own inode: no moment in which others could
	 * connect, and no umask, which would be the whole process's. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

int sock_connect_at(int dir_fd, const char *name, bool nonblock)
{
	autoclose int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
	struct sockaddr_un addr;
	int r;

	if (fd < 0)
		return -errno;
	r = address(dir_fd, name, &addr);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return take_fd(&fd);
}
