/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/vmm/kvm.h"
#include "server/vmm/proc_stats.h"
#include "server/vmm/qemu_args.h"
#include "server/vmm/qemu_net.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/qemu_snapshot.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/vmm.h"

enum { PROBE_MS = 10 * 1000 };

static const char install_hint[] = "install QEMU (on Debian: apt-get install qemu-system-x86)";

/* Runs the binary for its words on standard output. */
static int ask(const char *binary, const char *option, const char *value, char **ret_out,
	       struct error *err)
{
	const char *const argv[] = { binary, option, value, NULL };
	struct proc_result result CLEANUP(proc_result_done) = { .status = -1 };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	char how[64];
	int r;

	spec.argv = argv;
	run.timeout_ms = PROBE_MS;
	r = proc_run(&spec, &run, &result, err);
	if (r < 0)
		return r;
	if (result.status != 0)
		return error_set(err, ERR_INTERNAL, "%s %s: %s", binary, option,
				 proc_status_format(result.status, how, sizeof(how)));
	*ret_out = TAKE_PTR(result.out);
	return 0;
}

static void refuse(struct vmm_probe *p, const char *detail, const char *remedy)
{
	(void)snprintf(p->detail, sizeof(p->detail), "%s", detail);
	(void)snprintf(p->remedy, sizeof(p->remedy), "%s", remedy);
}

/* 0 when this binary can be used; the refusal is in *p otherwise. */
static int probe_binary(const char *binary, struct vmm_probe *p)
{
	struct qemu_version version = { 0 };
	autofree char *text = NULL;
	autofree char *machines = NULL;
	struct error err = ERROR_INIT;
	char detail[256];

	if (ask(binary, "--version", NULL, &text, &err) < 0 || !text ||
	    qemu_version_parse(text, &version) < 0) {
		(void)snprintf(detail, sizeof(detail), "%s does not tell its version", binary);
		refuse(p, detail, install_hint);
		return -EINVAL;
	}
	(void)snprintf(p->version, sizeof(p->version), "%u.%u.%u", version.major, version.minor,
		       version.patch);
	if (!qemu_version_at_least(&version, &QEMU_VERSION_MIN)) {
		(void)snprintf(detail, sizeof(detail), "QEMU %s is older than %u.%u", p->version,
			       QEMU_VERSION_MIN.major, QEMU_VERSION_MIN.minor);
		refuse(p, detail, install_hint);
		return -EINVAL;
	}
	if (ask(binary, "-machine", "help", &machines, &err) < 0 || !machines ||
	    !strstr(machines, "\nmicrovm ")) {
		refuse(p, "this QEMU was built without the microvm machine", install_hint);
		return -EINVAL;
	}
	return 0;
}

static void qemu_probe(struct vmm_probe *ret_probe)
{
	autofree char *binary = proc_find_program("qemu-system-x86_64");
	struct vmm_probe p = { .accel = VMM_ACCEL_NONE };
	struct kvm_verdict kvm;

	if (!binary) {
		refuse(&p, "qemu-system-x86_64 is not installed", install_hint);
	} else {
		(void)snprintf(p.path, sizeof(p.path), "%s", binary);
		if (probe_binary(binary, &p) == 0) {
			p.usable = true;
			p.accel = kvm_usable(&kvm) ? VMM_ACCEL_KVM : VMM_ACCEL_TCG;
			(void)snprintf(p.detail, sizeof(p.detail), "QEMU %s with %s: %.180s",
				       p.version,
				       p.accel == VMM_ACCEL_KVM ? "KVM" : "software emulation",
				       kvm.detail);
		}
	}
	*ret_probe = p;
}

static int qemu_start(const struct vmm_config *config, const struct vmm_wait *wait,
		      struct proc *ret_proc, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	autoclose int memory = qemu_memory_new(config);
	char status[32];
	int r;

	if (memory < 0)
		return error_errno(err, memory, "memory of the VM");
	r = qemu_launch_process(config, &(struct qemu_memory){ .fd = memory }, false, wait, &proc,
				&q, err);
	if (r < 0)
		return r;
	r = qemu_status(&q, status, sizeof(status), err);
	if (r == 0 && !streq(status, "running"))
		r = error_set(err, ERR_INTERNAL, "the VM is %s instead of running", status);
	if (r < 0)
		return qemu_explain(config, &proc, r, err);
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}

static int command(const struct vmm_config *config, const struct vmm_wait *wait, const char *name,
		   struct error *err)
{
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	int r = qemu_monitor(config, wait, &q, err);

	return r < 0 ? r : qmp_call(&q, name, NULL, -1, NULL, err);
}

static int qemu_pause(const struct vmm_config *config, const struct vmm_wait *wait,
		      struct error *err)
{
	return command(config, wait, "stop", err);
}

static int qemu_resume(const struct vmm_config *config, const struct vmm_wait *wait,
		       struct error *err)
{
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	int r = qemu_monitor(config, wait, &q, err);

	if (r == 0)
		r = qemu_end_capture(&q, err);
	return r < 0 ? r : qmp_call(&q, "cont", NULL, -1, NULL, err);
}

static int qemu_quit(const struct vmm_config *config, const struct vmm_wait *wait,
		     struct error *err)
{
	return command(config, wait, "quit", err);
}

static int qemu_open_link(const struct vmm_config *config)
{
	return run_connect(config, RUN_LINK_SOCK);
}

static int qemu_open_console(const struct vmm_config *config)
{
	return run_connect(config, RUN_CONSOLE_SOCK);
}

static int qemu_ask(const struct vmm_config *config)
{
	static const char question[] = "{\"execute\": \"qmp_capabilities\"}\n"
				       "{\"execute\": \"query-status\"}\n";

	return run_ask(config, RUN_QMP_SOCK, question);
}

/* RunState of QEMU's qapi/run-state.json. */
static int guest_of(const char *status, enum vmm_guest *ret_guest)
{
	static const struct {
		const char *status;
		enum vmm_guest guest;
	} rows[] = {
		{ "running", VMM_GUEST_RUNS },
		{ "suspended", VMM_GUEST_RUNS }, /* by itself */
		{ "paused", VMM_GUEST_STANDS },
		{ "prelaunch", VMM_GUEST_STANDS },
		{ "finish-migrate", VMM_GUEST_STANDS },
		{ "postmigrate", VMM_GUEST_STANDS },
		{ "save-vm", VMM_GUEST_STANDS },
		{ "io-error", VMM_GUEST_NO_ROOM }, /* of what it writes, only that stops it */
		{ "internal-error", VMM_GUEST_HALTED },
		{ "guest-panicked", VMM_GUEST_HALTED },
		{ "shutdown", VMM_GUEST_HALTED },
		{ "watchdog", VMM_GUEST_HALTED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (streq(rows[i].status, status)) {
			*ret_guest = rows[i].guest;
			return 1;
		}
	}
	return -EPROTO;
}

static int qemu_read_answer(const char *data, size_t len, enum vmm_guest *ret_guest)
{
	const char *end = data + len;
	const char *nl;

	for (; (nl = memchr(data, '\n', (size_t)(end - data))) != NULL; data = nl + 1) {
		struct error err;
		json_auto_t *line = json_parse(data, (size_t)(nl - data), &err);
		const char *status = json_string_value(
			json_object_get(json_object_get(line, "return"), "status"));

		if (!line || json_object_get(line, "error"))
			return -EPROTO;
		if (status)
			return guest_of(status, ret_guest);
	}
	return 0;
}

static int qemu_stats(const struct vmm_config *config, const struct proc *proc,
		      struct vmm_stats *ret_stats)
{
	(void)config;
	return proc_stats(proc, ret_stats);
}

static void qemu_explain_exit(const struct vmm_config *config, int status, char *buf, size_t size)
{
	autoclose int dir_fd = run_dir_open(config);
	char line[200] = "";
	char how[64];

	if (dir_fd >= 0)
		(void)run_log_last_line(dir_fd, line, sizeof(line));
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		(void)snprintf(buf, size,
			       "the guest powered off or rebooted, or QEMU was asked to quit");
	else if (*line)
		(void)snprintf(buf, size, "QEMU %s: %s",
			       proc_status_format(status, how, sizeof(how)), line);
	else
		(void)snprintf(buf, size, "QEMU %s", proc_status_format(status, how, sizeof(how)));
}

const struct vmm_driver vmm_qemu = {
	.name = "qemu",
	.caps = VMM_CAP_PAUSE | VMM_CAP_SNAPSHOT | VMM_CAP_USER_NET | VMM_CAP_TAP_FD,
	.probe_user_net = qemu_net_probe,
	.watch_user_net = qemu_net_watch,
	.renew_user_net = qemu_net_renew,
	.join_net = qemu_net_join,
	.probe = qemu_probe,
	.start = qemu_start,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.snapshot = qemu_snapshot,
	.restore = qemu_restore,
	.quit = qemu_quit,
	.open_link = qemu_open_link,
	.open_console = qemu_open_console,
	.ask = qemu_ask,
	.read_answer = qemu_read_answer,
	.stats = qemu_stats,
	.explain_exit = qemu_explain_exit,
};
