/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small client of QEMU's monitor protocol (QMP): one connection, one command at a time, blocking
 * up to a deadline or until a descriptor becomes readable. The other side may be a VMM that its
 * guest has taken over: lines are bounded, documents are parsed strictly, events are skipped, a
 * reply to anything but the command under way ends the connection.
 *
 * A connection belongs to one thread. QEMU serves one monitor connection at a time; another one
 * waits in its queue for its greeting.
 */
#pragma once

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"
#include "server/vmm/vmm.h"

/* Longest line that is accepted. */
enum { QMP_LINE_MAX = 1024 * 1024 };

struct qmp {
	int fd;
	struct vmm_wait wait;
	struct buf in;
	uint32_t last_id;
	bool broken; /* out of step: every further call fails */
};

#define QMP_INIT ((struct qmp){ .fd = -1 })

/*
 * Takes over `fd` (closed on failure too), reads the greeting and enters command mode. `wait` holds
 * for the life of the connection.
 */
int qmp_open(struct qmp *q, int fd, const struct vmm_wait *wait, struct error *err) MUST_USE;
void qmp_close(struct qmp *q);

/*
 * Runs a command. `args` is stolen and may be NULL; `send_fd` (-1: none) goes along and stays the
 * caller's. *ret_value (may be NULL) is a new reference to the command's "return" value. An error
 * of the command leaves the connection usable.
 */
int qmp_call(struct qmp *q, const char *command, json_t *args, int send_fd, json_t **ret_value,
	     struct error *err) MUST_USE;

/* Sleeps at most `ms`, less when the deadline is nearer: -ETIMEDOUT, -ECANCELED or 0. */
int qmp_sleep(struct qmp *q, int ms, struct error *err) MUST_USE;
