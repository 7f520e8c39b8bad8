/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket of the host tied to a TCP connection that the guest makes: bytes in both directions,
 * each end on its own, and each side read only as fast as the other takes it.
 */
#pragma once

#include "server/vm/vm.h"

struct splice;

/* It is over; freed when this returns. */
typedef void splice_end_fn(void *data, struct splice *splice);

/* Takes over `fd`, a connected non-blocking socket, also on failure. */
int splice_new(struct vm *vm, int fd, const char *host, uint16_t port, splice_end_fn *fn,
	       void *data, struct splice **ret_splice, struct error *err) MUST_USE;
/* Breaks both connections off; the end function is called. */
void splice_free(struct splice *splice);

/* A list of them, for their owner. */
void splice_link(struct splice **list, struct splice *splice);
void splice_unlink(struct splice **list, struct splice *splice);
