/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix stream sockets by folder descriptor and name. Addresses go through /proc/self/fd, so the
 * 108 bytes of sun_path do not limit how deep the folder lies. Functions return a descriptor that
 * is the caller's (O_CLOEXEC), or a negative errno.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/macro.h"

/*
 * A listening socket `name` in the folder, mode 0600 from birth; a socket of that name that was
 * left behind is replaced.
 */
int sock_listen_at(int dir_fd, const char *name) MUST_USE;

/* A connection to it. Non-blocking when asked: -EAGAIN when its queue is full. */
int sock_connect_at(int dir_fd, const char *name, bool nonblock) MUST_USE;
