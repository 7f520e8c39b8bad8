/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/http/internal.h"

enum { BACKLOG = 1024, PEM_MAX = 256 * 1024 };

/* Pid of whoever listens there, 0 when it can't be known. */
static pid_t peer_pid(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? 0 : cred.pid;
}

/* A socket file that nobody listens on is left over from a server that was killed. */
static int remove_stale(const struct sockaddr_un *sa, struct error *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return error_errno(err, -errno, "socket");
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "%s", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_EXISTS, "%s is there and is not a socket", sa->sun_path);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN)
		return error_set(err, ERR_EXISTS, "%s is in use by another server (pid %d)",
				 sa->sun_path, (int)peer_pid(fd));
	if (errno != ECONNREFUSED)
		return error_errno(err, -errno, "%s", sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return error_errno(err, -errno, "%s", sa->sun_path);
	return 0;
}

/* The mode of a unix socket's file is that of the socket's inode when it is bound: 0600 from birth,
 * with no use of the process-wide umask. */
int listen_unix(const char *path, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	autoclose int fd = -1;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(err, ERR_INVALID, "%s: a socket's path has at most %zu bytes",
				 path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	r = remove_stale(&sa, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return error_errno(err, -errno, "socket");
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return error_errno(err, -errno, "%s", path);
	if (listen(fd, BACKLOG) < 0)
		return error_errno(err, -errno, "%s", path);
	return take_fd(&fd);
}

int listen_tcp(const char *host, uint16_t port, bool beyond, uint16_t *ret_port, struct error *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	socklen_t len = sizeof(sa);
	autoclose int fd = -1;
	int one = 1;

	if (inet_pton(AF_INET, host, &sa.sin_addr) != 1)
		return error_set(err, ERR_INVALID, "%s is not an IPv4 address to listen on", host);
	if (!beyond && ntohl(sa.sin_addr.s_addr) >> 24 != 127)
		return error_set(err, ERR_INVALID,
				 "%s is not a loopback address: beyond loopback TLS is needed; set "
				 "server.tls_cert and server.tls_key in banger.conf",
				 host);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return error_errno(err, -errno, "socket");
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return error_errno(err, -errno, "%s:%u", host, port);
	*ret_port = ntohs(sa.sin_port);
	return take_fd(&fd);
}

int read_pem(const char *path, bool secret, char **ret_text, struct error *err)
{
	struct stat st;
	size_t len = 0;
	int r;

	if (stat(path, &st) < 0)
		return error_errno(err, -errno, "%s", path);
	if (secret && (st.st_mode & 0007))
		return error_set(err, ERR_INVALID,
				 "%s: everybody on this host may read the key; chmod o= it", path);
	r = read_file(path, PEM_MAX, ret_text, &len);
	if (r < 0)
		return error_errno(err, r, "%s", path);
	if (strstr(*ret_text, "-----BEGIN "))
		return 0;
	explicit_bzero(*ret_text, len);
	free(*ret_text);
	*ret_text = NULL;
	return error_set(err, ERR_INVALID, "%s is not a PEM file", path);
}
