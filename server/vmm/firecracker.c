/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "lib/link/protocol.h"
#include "server/vmm/fc_client.h"
#include "server/vmm/fc_install_hint.h"
#include "server/vmm/fc_jail.h"
#include "server/vmm/fc_process.h"
#include "server/vmm/fc_requests.h"
#include "server/vmm/kvm.h"
#include "server/vmm/proc_stats.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/vmm.h"

#define STATE_FILE  "state"
#define MEMORY_FILE "memory"

enum { PROBE_MS = 10 * 1000, PATH_MAX_LEN = 4096 };

/* --- probe --- */

static char *version_output(const char *binary)
{
	const char *const argv[] = { binary, "--version", NULL };
	struct proc_result result CLEANUP(proc_result_done) = { .status = -1 };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct error err = ERROR_INIT;

	spec.argv = argv;
	run.timeout_ms = PROBE_MS;
	if (proc_run(&spec, &run, &result, &err) < 0 || result.status != 0)
		return NULL;
	return TAKE_PTR(result.out);
}

static void fc_probe(struct vmm_probe *ret_probe)
{
	autofree char *binary = proc_find_program("firecracker");
	autofree char *output = binary ? version_output(binary) : NULL;
	autofree char *os_release = os_release_read();
	struct vmm_probe p = { .accel = VMM_ACCEL_NONE };
	struct fc_version version;
	struct fc_verdict verdict;
	struct kvm_verdict kvm;

	fc_version_judge(binary, output, os_release, &verdict);
	(void)snprintf(p.path, sizeof(p.path), "%s", binary ? binary : "");
	(void)snprintf(p.detail, sizeof(p.detail), "%.255s", verdict.detail);
	(void)snprintf(p.remedy, sizeof(p.remedy), "%s", verdict.remedy);
	if (output && fc_version_from_output(output, &version) == 0)
		(void)fc_version_format(&version, p.version, sizeof(p.version));
	p.unsupported = verdict.outcome == FC_TOO_OLD || verdict.outcome == FC_UNREADABLE;
	if (verdict.outcome == FC_PASS || verdict.outcome == FC_WARN) {
		p.usable = kvm_usable(&kvm);
		if (p.usable) {
			p.accel = VMM_ACCEL_KVM;
		} else {
			(void)snprintf(p.detail, sizeof(p.detail), "%.120s, but %.120s",
				       verdict.detail, kvm.detail);
			(void)snprintf(p.remedy, sizeof(p.remedy), "%s", kvm.remedy);
		}
	}
	*ret_probe = p;
}

/* --- life --- */

static int put(int dir_fd, const struct fc_request *q, const struct vmm_wait *wait,
	       struct error *err)
{
	return fc_call(dir_fd, RUN_API_SOCK, q->method, q->path, q->body, wait, NULL, err);
}

/* Process, pid file and a version that may be used. */
static int launch(struct fc_launch *l, const struct vmm_wait *wait, struct proc *ret_proc,
		  struct fc_version *ret_version, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	int r;

	r = l->config->jail ? fc_launch_jailed(l, wait, &proc, err)
			    : fc_launch_direct(l, wait, &proc, err);
	if (r < 0)
		return r;
	r = run_pid_write(l->run_dir_fd, &proc);
	if (r < 0)
		return error_errno(err, r, "write %s", RUN_PID);
	r = fc_await_api(l->run_dir_fd, &proc, wait, ret_version, err);
	if (r == 0 && l->config->jail)
		r = fc_jail_fill(l, err);
	if (r < 0)
		return r;
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}

static int fc_start(const struct vmm_config *config, const struct vmm_wait *wait,
		    struct proc *ret_proc, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct fc_requests requests CLEANUP(fc_requests_done) = { .n = 0 };
	autoclose int dir_fd = run_dir_open(config);
	struct fc_launch l = { .config = config, .run_dir_fd = dir_fd, .with_boot = true };
	struct fc_version version;
	int r;

	if (dir_fd < 0)
		return error_errno(err, dir_fd, "open run folder %s", config->run_dir);
	r = fc_check(config, err);
	if (r == 0)
		r = launch(&l, wait, &proc, &version, err);
	if (r == 0)
		r = fc_boot_requests(config, &version, (const char(*)[24])l.disk_ids, &requests,
				     err);
	for (size_t i = 0; r == 0 && i < requests.n; i++)
		r = put(dir_fd, &requests.v[i], wait, err);
	if (r < 0)
		return r;
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}

static int call_running(const struct vmm_config *config, const char *method, const char *path,
			const json_t *body, const struct vmm_wait *wait, struct error *err)
{
	autoclose int dir_fd = run_dir_open(config);

	if (dir_fd < 0)
		return error_errno(err, dir_fd, "open run folder %s", config->run_dir);
	if (!body)
		return error_errno(err, -ENOMEM, "%s %s", method, path);
	return fc_call(dir_fd, RUN_API_SOCK, method, path, body, wait, NULL, err);
}

static int set_paused(const struct vmm_config *config, bool paused, const struct vmm_wait *wait,
		      struct error *err)
{
	json_auto_t *body = fc_vm_state(paused);

	return call_running(config, "PATCH", "/vm", body, wait, err);
}

static int fc_pause(const struct vmm_config *config, const struct vmm_wait *wait, struct error *err)
{
	return set_paused(config, true, wait, err);
}

static int fc_resume(const struct vmm_config *config, const struct vmm_wait *wait,
		     struct error *err)
{
	return set_paused(config, false, wait, err);
}

/* Firecracker has no call for it: the process is told. It has nothing to put in order. */
static int fc_quit(const struct vmm_config *config, const struct vmm_wait *wait, struct error *err)
{
	struct proc proc CLEANUP(proc_done) = PROC_INIT;
	autoclose int dir_fd = run_dir_open(config);
	int r = dir_fd < 0 ? dir_fd : run_pid_adopt(dir_fd, &proc);

	(void)wait;
	if (r == 0)
		r = proc_signal(&proc, SIGTERM);
	return r < 0 ? error_errno(err, r, "end Firecracker") : 0;
}

/* --- snapshots --- */

/* "<absolute path of the folder>/<name>": Firecracker opens files by path. */
static int path_in(int dir_fd, const char *name, char *buf, size_t size, struct error *err)
{
	char link[64];
	char dir[PATH_MAX_LEN];
	ssize_t n;
	int len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n < 0)
		return error_errno(err, -errno, "path of the snapshot");
	dir[n] = '\0';
	len = snprintf(buf, size, "%s/%s", dir, name);
	return len < 0 || (size_t)len >= size
		       ? error_errno(err, -ENAMETOOLONG, "path of the snapshot")
		       : 0;
}

struct snapshot_paths {
	char state[PATH_MAX_LEN];
	char memory[PATH_MAX_LEN];
};

static int snapshot_paths(const struct vmm_config *config, int dir_fd,
			  struct snapshot_paths *ret_paths, struct error *err)
{
	int r;

	if (config->jail) {
		*ret_paths = (struct snapshot_paths){ "/" STATE_FILE, "/" MEMORY_FILE };
		return 0;
	}
	r = path_in(dir_fd, STATE_FILE, ret_paths->state, sizeof(ret_paths->state), err);

	return r < 0 ? r
		     : path_in(dir_fd, MEMORY_FILE, ret_paths->memory, sizeof(ret_paths->memory),
			       err);
}

static int fc_snapshot(const struct vmm_config *config, int dir_fd, const struct vmm_wait *wait,
		       struct error *err)
{
	struct snapshot_paths paths;
	json_auto_t *body = NULL;
	int r = snapshot_paths(config, dir_fd, &paths, err);

	if (r < 0)
		return r;
	body = fc_snapshot_create(paths.state, paths.memory);
	r = call_running(config, "PUT", "/snapshot/create", body, wait, err);
	if (r == 0 && config->jail)
		r = fc_jail_move_out(config, STATE_FILE, dir_fd, err);
	if (r == 0 && config->jail)
		r = fc_jail_move_out(config, MEMORY_FILE, dir_fd, err);
	if (r < 0) {
		(void)unlinkat(dir_fd, STATE_FILE, 0);
		(void)unlinkat(dir_fd, MEMORY_FILE, 0);
		return error_wrap(err, "snapshot");
	}
	return 0;
}

static int fc_restore(const struct vmm_config *config, int dir_fd,
		      const struct vmm_hook *before_run, const struct vmm_wait *wait,
		      struct proc *ret_proc, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	autoclose int run_fd = run_dir_open(config);
	struct fc_launch l = { .config = config, .run_dir_fd = run_fd };
	struct snapshot_paths paths;
	struct fc_version version;
	json_auto_t *body = NULL;
	int r;

	if (run_fd < 0)
		return error_errno(err, run_fd, "open run folder %s", config->run_dir);
	if (faccessat(dir_fd, STATE_FILE, R_OK, 0) < 0 ||
	    faccessat(dir_fd, MEMORY_FILE, R_OK, 0) < 0)
		return error_errno(err, -errno, "open the snapshot");
	r = fc_check(config, err);
	if (r == 0)
		r = snapshot_paths(config, dir_fd, &paths, err);
	if (r == 0)
		r = launch(&l, wait, &proc, &version, err);
	if (r == 0 && config->jail)
		r = fc_jail_link_in(config, STATE_FILE, dir_fd, err);
	if (r == 0 && config->jail)
		r = fc_jail_link_in(config, MEMORY_FILE, dir_fd, err);
	/* It loads and runs in one request. */
	if (r == 0 && before_run)
		r = before_run->fn(before_run->data, err);
	if (r < 0)
		return r;
	body = fc_snapshot_load(config, &version, paths.state, paths.memory);
	r = call_running(config, "PUT", "/snapshot/load", body, wait, err);
	if (r < 0) {
		/* It said no, or nothing. */
		bool unknown = err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED ||
			       err->code == ERR_UNAVAILABLE;

		(void)error_wrap(err, "restore");
		return unknown ? -EUCLEAN : r;
	}
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}

/* --- streams --- */

/*
 * The port is asked for in one write; Firecracker's answer "OK <port>" is a line of its own in
 * front of the stream, which the handshake of the link skips.
 */
static int fc_open_link(const struct vmm_config *config)
{
	autoclose int fd = run_connect(config, RUN_LINK_SOCK);
	char line[32];
	int n = snprintf(line, sizeof(line), "CONNECT %d\n", LINK_VSOCK_PORT);
	ssize_t sent;

	if (fd < 0)
		return fd;
	sent = send(fd, line, (size_t)n, MSG_NOSIGNAL);
	if (sent != n)
		return sent < 0 ? -errno : -EIO;
	return take_fd(&fd);
}

/* Output only: Firecracker takes input from a terminal or pipe of its own, and has none. */
static int fc_open_console(const struct vmm_config *config)
{
	autoclose int dir_fd = run_dir_open(config);
	int fd;

	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, RUN_CONSOLE_FIFO, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int fc_ask(const struct vmm_config *config)
{
	static const char question[] = "GET / HTTP/1.1\r\nHost: localhost\r\n"
				       "Accept: application/json\r\n\r\n";

	return run_ask(config, RUN_API_SOCK, question);
}

/* The body is a line of JSON; before its end it is none. */
static int fc_read_answer(const char *data, size_t len, enum vmm_guest *ret_guest)
{
	const char *body = memmem(data, len, "\r\n\r\n", 4);
	json_auto_t *info = NULL;
	const char *state;
	struct error err;

	if (len > 12 && memcmp(data + 8, " 200", 4) != 0)
		return -EPROTO;
	if (!body)
		return 0;
	body += 4;
	info = json_parse(body, (size_t)(data + len - body), &err);
	if (!info)
		return 0;
	state = json_string_value(json_object_get(info, "state"));
	if (!state || (!streq(state, "Running") && !streq(state, "Paused")))
		return -EPROTO;
	*ret_guest = streq(state, "Running") ? VMM_GUEST_RUNS : VMM_GUEST_STANDS;
	return 1;
}

static int fc_stats(const struct vmm_config *config, const struct proc *proc,
		    struct vmm_stats *ret_stats)
{
	(void)config;
	return proc_stats(proc, ret_stats);
}

static void fc_explain_exit(const struct vmm_config *config, int status, char *buf, size_t size)
{
	autoclose int dir_fd = run_dir_open(config);
	const char *meaning = NULL;
	char line[200] = "";
	char how[64];

	if (dir_fd >= 0)
		(void)run_log_last_line(dir_fd, line, sizeof(line));
	if (status >= 0 && WIFEXITED(status))
		meaning = fc_exit_meaning(WEXITSTATUS(status));
	(void)snprintf(buf, size, "%s%s%s",
		       meaning ? meaning : proc_status_format(status, how, sizeof(how)),
		       *line ? ": " : "", line);
}

const struct vmm_driver vmm_firecracker = {
	.name = "firecracker",
	.caps = VMM_CAP_PAUSE | VMM_CAP_SNAPSHOT | VMM_CAP_JAIL,
	.probe = fc_probe,
	.start = fc_start,
	.pause = fc_pause,
	.resume = fc_resume,
	.snapshot = fc_snapshot,
	.restore = fc_restore,
	.quit = fc_quit,
	.open_link = fc_open_link,
	.open_console = fc_open_console,
	.ask = fc_ask,
	.read_answer = fc_read_answer,
	.stats = fc_stats,
	.explain_exit = fc_explain_exit,
};
