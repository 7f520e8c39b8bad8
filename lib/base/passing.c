/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/passing.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

/* sendmsg(2) and recvmsg(2) do not change the list; its type has no const. */
static struct msghdr message(const struct iovec *parts, size_t n_parts)
{
	return (struct msghdr){ .msg_iov = (struct iovec *)(uintptr_t)parts,
				.msg_iovlen = n_parts };
}

ssize_t send_with_fd(int sock, const struct iovec *parts, size_t n_parts, int fd, int flags)
{
	struct msghdr msg = message(parts, n_parts);
	union control control = { .space = { 0 } };
	ssize_t n;

	if (fd >= 0) {
		control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(sizeof(fd));
	}
	do
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t receive_with_fd(int sock, const struct iovec *parts, size_t n_parts, int flags, int *ret_fd,
			int *ret_flags)
{
	struct msghdr msg = message(parts, n_parts);
	union control control;
	const struct cmsghdr *c;
	ssize_t n;

	do {
		msg.msg_control = &control;
		/* To the byte: with the padding behind it there would be room for another one. */
		msg.msg_controllen = CMSG_LEN(sizeof(int));
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_fd = -1;
	*ret_flags = msg.msg_flags;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n;
}
