/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls and programs of `struct sys` on a real host. */
#include <net/if.h>
#include <string.h>
#include <sys/pidfd.h>

#include "helper/helper.h"
#include "lib/base/log.h"

enum { RUN_TIMEOUT_MS = 10 * 1000 };

static int linux_run(const char *const *argv, const char *input)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct error err = ERROR_INIT;
	int r;

	spec.argv = argv;
	run.input = input;
	run.input_len = input ? strlen(input) : 0;
	run.timeout_ms = RUN_TIMEOUT_MS;
	r = proc_run_ok(&spec, &run, &err);
	if (r < 0)
		log_fields(LOG_WARN, "program failed", "error", err.msg, NULL);
	return r;
}

static int linux_spawn(const char *const *argv, int out_fd, struct proc *ret_proc)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;

	spec.argv = argv;
	spec.stdout_fd = out_fd;
	spec.stderr_fd = out_fd;
	spec.new_session = true;
	return proc_spawn(&spec, ret_proc, &err);
}

const struct sys sys_linux = {
	.pidfd_open = pidfd_open,
	.pidfd_send_signal = pidfd_send_signal,
	.lstat = lstat,
	.if_nametoindex = if_nametoindex,
	.run = linux_run,
	.spawn = linux_spawn,
	.bridge = netlink_bridge,
	.elements = netlink_elements,
	.tap = netlink_tap,
	.link_delete = netlink_link_delete,
};
