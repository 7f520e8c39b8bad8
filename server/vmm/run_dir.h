/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every driver keeps in a VM's run folder:
 *
 *   vmm.pid       "<pid> <start time> <inode of this folder>" of the VMM
 *   vmm.log       what it wrote to standard error since it started
 *   console.sock  serial console   (made by us, served by the VMM)
 *   console.fifo  output of the serial console, where the VMM can only write to a descriptor
 *   link.sock     byte stream to the guest's agent
 *   qmp.sock      QEMU's monitor
 *   api.sock      Firecracker's API
 *
 * Functions return >= 0 or a negative errno.
 */
#pragma once

#include "lib/base/macro.h"
#include "lib/proc/proc.h"
#include "server/vmm/vmm.h"

#define RUN_CONSOLE_SOCK "console.sock"
#define RUN_CONSOLE_FIFO "console.fifo"
#define RUN_LINK_SOCK    "link.sock"
#define RUN_QMP_SOCK     "qmp.sock"
#define RUN_API_SOCK     "api.sock"
#define RUN_LOG          "vmm.log"
#define RUN_PID          "vmm.pid"

/* The folder itself; the caller closes it. */
int run_dir_open(const struct vmm_config *config) MUST_USE;

/*
 * The console as a FIFO that the VMM holds open in both directions: it never sees an end, a reader
 * may come and go, and what nobody reads is bounded by the pipe. A new one; the caller closes it.
 */
int run_console_fifo(int dir_fd) MUST_USE;

/* A new, empty log. Appends only. */
int run_log_create(int dir_fd) MUST_USE;

/*
 * The last line of the log that is no mere warning, printable, cut to `size`; "" when there is
 * none. Returns buf.
 */
char *run_log_last_line(int dir_fd, char *buf, size_t size);

int run_pid_write(int dir_fd, const struct proc *proc) MUST_USE;
/* The VMM of this folder, pinned: -ESRCH when it is not running, or is another folder's. */
int run_pid_adopt(int dir_fd, struct proc *ret_proc) MUST_USE;
/* The folder is a copy: the VMM that it names belongs to the one that it was copied from. */
bool run_pid_is_copy(int dir_fd);

/* A connection to a socket of the run folder, non-blocking. */
int run_connect(const struct vmm_config *config, const char *name) MUST_USE;
/* The same with a short question sent, whole, without waiting: the answer is then read from the
 * descriptor, which is the caller's. -errno. */
int run_ask(const struct vmm_config *config, const char *name, const char *question) MUST_USE;
