/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with a descriptor, over Unix sockets (SCM_RIGHTS). */
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/macro.h"

/* sendmsg(2) of the parts, which are only read, with `fd` (-1: without). Without SIGPIPE, and again
 * after a signal. How many bytes went, or a negative errno. */
ssize_t send_with_fd(int sock, const struct iovec *parts, size_t n_parts, int fd,
		     int flags) MUST_USE;

/*
 * recvmsg(2) into the parts, again after a signal: how many bytes came, or a negative errno. The
 * descriptor that came with them is the caller's, close-on-exec; -1: none. One has room: the kernel
 * closes what is more, and *ret_flags (of the message) has MSG_CTRUNC.
 */
ssize_t receive_with_fd(int sock, const struct iovec *parts, size_t n_parts, int flags, int *ret_fd,
			int *ret_flags) MUST_USE;
