/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket that systemd has bound already, as sd_listen_fds(3) describes the handover. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "server/http/internal.h"

enum { FIRST_FD = 3 /* SD_LISTEN_FDS_START */, FDS_MAX = 64 };

/* How many descriptors are meant for this process; what its children see says nothing of them. */
static int count_handed(void)
{
	/* The only user of the environment here. NOLINTBEGIN(concurrency-mt-unsafe) */
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	long n = 0;

	if (pid && fds && strtol(pid, NULL, 10) == getpid())
		n = strtol(fds, NULL, 10);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	/* NOLINTEND(concurrency-mt-unsafe) */
	return n > 0 && n <= FDS_MAX ? (int)n : 0;
}

static bool listens_at(int fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	int listening = 0;
	socklen_t size = sizeof(listening);

	return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.sun_family == AF_UNIX &&
	       len > offsetof(struct sockaddr_un, sun_path) &&
	       strncmp(sa.sun_path, path, sizeof(sa.sun_path)) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

int listen_inherited(const char *path, struct error *err)
{
	int n = count_handed();
	int found = -1;

	if (n == 0)
		return 0;
	for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (found < 0 && listens_at(fd, path))
			found = fd;
		else
			(void)close(fd);
	}
	if (found < 0)
		return error_set(err, ERR_INVALID,
				 "none of the %d sockets that were handed over listens at %s", n,
				 path);
	(void)fcntl(found, F_SETFL, O_NONBLOCK);
	return found;
}
