/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets are made here and handed over, so a connection can be made at once and
 * waits in the queue until QEMU serves it: nothing is polled for. When QEMU ends before that, the
 * last listening descriptor closes and our connection with it.
 */
#include "server/vmm/qemu_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "server/vmm/cgroup.h"
#include "server/vmm/confine.h"
#include "server/vmm/qemu_args.h"
#include "server/vmm/qemu_net.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/sock.h"
#include "server/vmm/tsc.h"

/* How long a process that has closed its monitor may take to end. */
enum { ASK_AGAIN_MS = 5000, LAST_WORDS_MS = 500 };

struct parts {
	int qmp;
	int console;
	int link;
	int net;
	int log;
};

static void parts_done(const struct parts *p)
{
	close_keep_errno(p->qmp);
	close_keep_errno(p->console);
	close_keep_errno(p->link);
	close_keep_errno(p->net);
	close_keep_errno(p->log);
}

static int make_parts(int dir_fd, struct parts *p, struct error *err)
{
	p->qmp = sock_listen_at(dir_fd, RUN_QMP_SOCK);
	if (p->qmp < 0)
		return error_errno(err, p->qmp, "socket %s", RUN_QMP_SOCK);
	p->console = sock_listen_at(dir_fd, RUN_CONSOLE_SOCK);
	if (p->console < 0)
		return error_errno(err, p->console, "socket %s", RUN_CONSOLE_SOCK);
	p->link = sock_listen_at(dir_fd, RUN_LINK_SOCK);
	if (p->link < 0)
		return error_errno(err, p->link, "socket %s", RUN_LINK_SOCK);
	p->log = run_log_create(dir_fd);
	if (p->log < 0)
		return error_errno(err, p->log, "create %s", RUN_LOG);
	return 0;
}

void qemu_allow_files(struct confine_rules *rules, const struct vmm_config *config)
{
	confine_allow_system(rules);
	confine_allow(rules, config->kernel, CONFINE_READ);
	if (config->initrd)
		confine_allow(rules, config->initrd, CONFINE_READ);
	for (size_t i = 0; i < config->n_disks; i++)
		confine_allow(rules, config->disks[i].path,
			      config->disks[i].read_only ? CONFINE_READ : CONFINE_WRITE);
}

static int spawn(const struct vmm_config *config, const struct qemu_args *args,
		 const struct parts *p, int memory_fd, struct proc *ret_proc, struct error *err)
{
	const struct proc_fd fds[] = {
		{ .ours = p->qmp, .theirs = QEMU_FD_QMP },
		{ .ours = p->console, .theirs = QEMU_FD_CONSOLE },
		{ .ours = p->link, .theirs = QEMU_FD_LINK },
		{ .ours = memory_fd, .theirs = QEMU_FD_MEMORY },
		{ .ours = p->net, .theirs = QEMU_FD_NET },
	};
	struct confine_rules rules = { .n = 0 };
	struct proc_spec spec = PROC_SPEC_INIT;

	qemu_allow_files(&rules, config);
	spec.argv = (const char *const *)args->v;
	spec.stdout_fd = p->log;
	spec.stderr_fd = p->log;
	spec.fds = fds;
	spec.n_fds = ARRAY_SIZE(fds) - (p->net < 0 ? 1 : 0);
	spec.new_session = true;
	return confine_spawn(&spec, &rules, ret_proc, err);
}

int qemu_explain(const struct vmm_config *config, const struct proc *proc, int r, struct error *err)
{
	autoclose int dir_fd = run_dir_open(config);
	char line[200];
	int status;

	if (err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED ||
	    proc_wait(proc, LAST_WORDS_MS, -1, &status) < 0)
		return r;
	if (dir_fd >= 0 && *run_log_last_line(dir_fd, line, sizeof(line)))
		return error_set(err, ERR_INTERNAL, "QEMU ended: %s", line);
	return error_set(err, ERR_INTERNAL, "QEMU ended without saying why");
}

static int start_process(const struct vmm_config *config, const struct qemu_memory *memory,
			 bool incoming, const struct vmm_wait *wait, int dir_fd,
			 struct proc *ret_proc, struct error *err)
{
	struct parts parts CLEANUP(parts_done) = { -1, -1, -1, -1, -1 };
	struct qemu_args args CLEANUP(qemu_args_done) = { .n = 0 };
	autofree char *binary = proc_find_program("qemu-system-x86_64");
	struct qemu_launch launch = { .binary = binary,
				      .config = config,
				      .memory_private = memory->private,
				      .incoming = incoming };
	int r;

	if (!binary)
		return error_set(err, ERR_UNSUPPORTED, "qemu-system-x86_64 is not installed");
	if (config->accel == VMM_ACCEL_TCG)
		launch.tsc_khz = tsc_khz();
	r = make_parts(dir_fd, &parts, err);
	if (r == 0)
		r = qemu_net_open(config, wait, &launch.net, &parts.net, err);
	if (r == 0)
		r = qemu_args_build(&launch, &args, err);
	if (r == 0)
		r = spawn(config, &args, &parts, memory->fd, ret_proc, err);
	if (r == 0)
		r = cgroup_join(config->cgroup_procs, ret_proc, err);
	return r;
}

int qemu_launch_process(const struct vmm_config *config, const struct qemu_memory *memory,
			bool incoming, const struct vmm_wait *wait, struct proc *ret_proc,
			struct qmp *ret_qmp, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int dir_fd = run_dir_open(config);
	int r;

	if (dir_fd < 0)
		return error_errno(err, dir_fd, "open run folder %s", config->run_dir);
	r = start_process(config, memory, incoming, wait, dir_fd, &proc, err);
	if (r < 0)
		return r;
	r = run_pid_write(dir_fd, &proc);
	if (r < 0)
		return error_errno(err, r, "write %s", RUN_PID);
	r = qemu_monitor(config, wait, ret_qmp, err);
	if (r < 0)
		return qemu_explain(config, &proc, r, err);
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}

int qemu_monitor(const struct vmm_config *config, const struct vmm_wait *wait, struct qmp *ret_qmp,
		 struct error *err)
{
	int fd = run_connect(config, RUN_QMP_SOCK);

	if (fd < 0)
		return error_errno(err, fd, "connect to the VMM's monitor");
	return qmp_open(ret_qmp, fd, wait, err);
}

int qemu_status(struct qmp *q, char *buf, size_t size, struct error *err)
{
	json_auto_t *reply = NULL;
	const char *status;
	int r;

	r = qmp_call(q, "query-status", NULL, -1, &reply, err);
	if (r < 0)
		return r;
	status = json_string_value(json_object_get(reply, "status"));
	if (!status)
		return error_set(err, ERR_INTERNAL, "query-status: no status");
	(void)snprintf(buf, size, "%s", status);
	return 0;
}

int qemu_cont(const struct vmm_config *config, struct qmp *q, struct error *err)
{
	struct vmm_wait wait = { .deadline_us = clock_mono_us() + (int64_t)ASK_AGAIN_MS * 1000,
				 .cancel_fd = -1 };
	struct qmp again CLEANUP(qmp_close_p) = QMP_INIT;
	struct error ignored;
	char status[32] = "";
	int r = qmp_call(q, "cont", NULL, -1, NULL, err);

	/* Refused in words: it has not run. */
	if (r == 0 || !q->broken)
		return r;
	qmp_close(q);
	r = qemu_monitor(config, &wait, &again, &ignored);
	if (r == 0)
		r = qemu_status(&again, status, sizeof(status), &ignored);
	if (r == 0 && streq(status, "paused"))
		r = qmp_call(&again, "cont", NULL, -1, NULL, &ignored);
	else if (r == 0 && !streq(status, "running"))
		r = -EIO;
	if (r < 0) {
		(void)error_wrap(err, "whether the guest has run is not known");
		return -EUCLEAN;
	}
	*err = ERROR_INIT;
	return 0;
}

int qemu_memory_new(const struct vmm_config *config)
{
	autoclose int fd = memfd_create("banger-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)config->memory_mib * 1024 * 1024) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	return take_fd(&fd);
}
