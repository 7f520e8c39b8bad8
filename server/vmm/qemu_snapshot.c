/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot is two files: `state`, a migration stream, and `memory`, the guest's memory as it is.
 *
 * A VM that was booted has its memory in a memfd, mapped shared: the stream leaves it out
 * (x-ignore-shared) and the memfd's data is copied. A clone maps its template's memory private, so
 * what it has changed exists in its own address space only: its stream carries the memory, there is
 * no `memory` file, and it is restored into a fresh memfd.
 *
 * Streams go through descriptors passed with `getfd`, because a sandboxed QEMU may not start the
 * programs that other kinds of migration need.
 */
#include "server/vmm/qemu_snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/json/json.h"
#include "server/vmm/qemu_args.h"
#include "server/vmm/qemu_process.h"
#include "server/vmm/run_dir.h"
#include "server/vmm/template_memory.h"

#define STATE_FILE  "state"
#define MEMORY_FILE "memory"

enum { POLL_MS = 2 };

static int set_capability(struct qmp *q, const char *name, bool on, struct error *err)
{
	return qmp_call(q, "migrate-set-capabilities",
			json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", name, "state",
				  on ? 1 : 0),
			-1, NULL, err);
}

static int pass_fd(struct qmp *q, const char *name, int fd, struct error *err)
{
	return qmp_call(q, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL, err);
}

/* --- snapshot --- */

static int memory_is_shared(struct qmp *q, bool *ret_shared, struct error *err)
{
	json_auto_t *reply = NULL;
	int r = qmp_call(q, "query-memdev", NULL, -1, &reply, err);

	if (r < 0)
		return r;
	*ret_shared = json_is_true(json_object_get(json_array_get(reply, 0), "share"));
	return 0;
}

/*
 * QEMU saves no state of a VM that stands still because its state was saved before. It has to run
 * for a moment: the memory and the disk of one capture are both written after that.
 */
static int must_be_paused(struct qmp *q, struct error *err)
{
	char status[32];
	int r = qemu_status(q, status, sizeof(status), err);

	if (r == 0 && streq(status, "postmigrate")) {
		r = qmp_call(q, "cont", NULL, -1, NULL, err);
		if (r == 0)
			r = qmp_call(q, "stop", NULL, -1, NULL, err);
		if (r == 0)
			r = qemu_status(q, status, sizeof(status), err);
	}
	if (r < 0)
		return r;
	if (!streq(status, "paused"))
		return error_set(err, ERR_STATE, "the VM is not paused but %s", status);
	return 0;
}

static int wait_migrated(struct qmp *q, struct error *err)
{
	for (;;) {
		json_auto_t *reply = NULL;
		const char *status;
		int r = qmp_call(q, "query-migrate", NULL, -1, &reply, err);

		if (r < 0)
			return r;
		status = json_string_value(json_object_get(reply, "status"));
		if (status && streq(status, "completed"))
			return 0;
		if (status && (streq(status, "failed") || streq(status, "cancelled"))) {
			const char *why = json_string_value(json_object_get(reply, "error-desc"));

			return error_set(err, ERR_INTERNAL, "the VMM could not save its state: %s",
					 why ? why : status);
		}
		r = qmp_sleep(q, POLL_MS, err);
		if (r < 0)
			return r;
	}
}

static int save_state(struct qmp *q, int fd, bool shared, struct error *err)
{
	int r;

	r = set_capability(q, "x-ignore-shared", shared, err);
	if (r == 0)
		r = qmp_call(q, "migrate-set-parameters",
			     json_pack("{s:I}", "max-bandwidth", (json_int_t)1 << 40), -1, NULL,
			     err);
	if (r == 0)
		r = pass_fd(q, STATE_FILE, fd, err);
	if (r == 0)
		r = qmp_call(q, "migrate", json_pack("{s:s}", "uri", "fd:" STATE_FILE), -1, NULL,
			     err);
	return r == 0 ? wait_migrated(q, err) : r;
}

/* Of a migration that has not come to its end. */
static bool is_under_way(const char *status)
{
	static const char *const words[] = { "setup",      "active",         "device",
					     "cancelling", "pre-switchover", "wait-unplug" };

	for (size_t i = 0; status && i < ARRAY_SIZE(words); i++)
		if (streq(words[i], status))
			return true;
	return false;
}

int qemu_end_capture(struct qmp *q, struct error *err)
{
	bool cancelled = false;

	for (;;) {
		json_auto_t *reply = NULL;
		int r = qmp_call(q, "query-migrate", NULL, -1, &reply, err);

		if (r < 0 || !is_under_way(json_string_value(json_object_get(reply, "status"))))
			return r < 0 ? r : 0;
		if (!cancelled)
			r = qmp_call(q, "migrate_cancel", NULL, -1, NULL, err);
		cancelled = true;
		if (r == 0)
			r = qmp_sleep(q, POLL_MS, err);
		if (r < 0)
			return r;
	}
}

/* The memfd is found in the VMM itself, under the number that it was given. */
static int save_memory(const struct vmm_config *config, int fd, struct error *err)
{
	struct proc proc CLEANUP(proc_done) = PROC_INIT;
	autoclose int run_fd = run_dir_open(config);
	autoclose int memory = -1;
	struct stat st;
	char path[64];
	int r;

	r = run_fd < 0 ? run_fd : run_pid_adopt(run_fd, &proc);
	if (r < 0)
		return error_errno(err, r, "find the VMM");
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)proc.pid, QEMU_FD_MEMORY);
	memory = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (memory < 0 || fstat(memory, &st) < 0)
		return error_errno(err, -errno, "open the VM's memory");
	/* A VMM that was taken over may have put something else there. */
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)config->memory_mib * 1024 * 1024)
		return error_set(err, ERR_GUEST, "what the VMM shows as its memory is not it");
	r = copy_sparse(memory, fd);
	return r < 0 ? error_errno(err, r, "write the VM's memory") : 0;
}

static int snapshot_into(const struct vmm_config *config, int dir_fd, const struct vmm_wait *wait,
			 struct error *err)
{
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	autoclose int state = -1;
	autoclose int memory = -1;
	bool shared = false;
	int r;

	r = qemu_monitor(config, wait, &q, err);
	if (r == 0)
		r = must_be_paused(&q, err);
	if (r == 0)
		r = memory_is_shared(&q, &shared, err);
	if (r < 0)
		return r;
	state = open_regular_beneath(dir_fd, STATE_FILE, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (state < 0)
		return error_errno(err, state, "create %s", STATE_FILE);
	r = save_state(&q, state, shared, err);
	if (r < 0 || !shared)
		return r;
	memory = open_regular_beneath(dir_fd, MEMORY_FILE, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (memory < 0)
		return error_errno(err, memory, "create %s", MEMORY_FILE);
	return save_memory(config, memory, err);
}

int qemu_snapshot(const struct vmm_config *config, int dir_fd, const struct vmm_wait *wait,
		  struct error *err)
{
	int r = snapshot_into(config, dir_fd, wait, err);

	if (r < 0) {
		(void)unlinkat(dir_fd, STATE_FILE, 0);
		(void)unlinkat(dir_fd, MEMORY_FILE, 0);
		return error_wrap(err, "snapshot");
	}
	return 0;
}

/* --- restore --- */

static int open_memory(const struct vmm_config *config, int dir_fd, bool *ret_private,
		       struct error *err)
{
	autoclose int file = open_regular_beneath(dir_fd, MEMORY_FILE, O_RDONLY, 0);
	struct stat st;
	int fd;

	*ret_private = file != -ENOENT;
	if (file == -ENOENT) {
		fd = qemu_memory_new(config);
		return fd < 0 ? error_errno(err, fd, "memory of the VM") : fd;
	}
	if (file < 0 || fstat(file, &st) < 0)
		return error_errno(err, file < 0 ? file : -errno, "open %s", MEMORY_FILE);
	if (st.st_size != (off_t)config->memory_mib * 1024 * 1024)
		return error_set(err, ERR_INVALID, "the snapshot's memory is not of %u MiB",
				 config->memory_mib);
	fd = template_memory_open(file);
	return fd < 0 ? error_errno(err, fd, "load %s", MEMORY_FILE) : fd;
}

static int load_state(struct qmp *q, int fd, bool ignore_shared, struct error *err)
{
	char status[32] = "inmigrate";
	int r;

	r = set_capability(q, "x-ignore-shared", ignore_shared, err);
	if (r == 0)
		r = pass_fd(q, STATE_FILE, fd, err);
	if (r == 0)
		r = qmp_call(q, "migrate-incoming", json_pack("{s:s}", "uri", "fd:" STATE_FILE), -1,
			     NULL, err);
	while (r == 0) {
		r = qemu_status(q, status, sizeof(status), err);
		if (r < 0 || !streq(status, "inmigrate"))
			break;
		r = qmp_sleep(q, POLL_MS, err);
	}
	if (r == 0 && !streq(status, "paused"))
		return error_set(err, ERR_INTERNAL, "the VM is %s after loading", status);
	return r;
}

int qemu_restore(const struct vmm_config *config, int dir_fd, const struct vmm_hook *before_run,
		 const struct vmm_wait *wait, struct proc *ret_proc, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct qmp q CLEANUP(qmp_close_p) = QMP_INIT;
	autoclose int state = open_regular_beneath(dir_fd, STATE_FILE, O_RDONLY, 0);
	autoclose int memory_fd = -1;
	struct qemu_memory memory;
	int r;

	if (state < 0)
		return error_errno(err, state, "open %s", STATE_FILE);
	memory_fd = open_memory(config, dir_fd, &memory.private, err);
	if (memory_fd < 0)
		return memory_fd;
	memory.fd = memory_fd;
	r = qemu_launch_process(config, &memory, true, wait, &proc, &q, err);
	if (r < 0)
		return error_wrap(err, "restore");
	r = load_state(&q, state, memory.private, err);
	if (r == 0 && before_run)
		r = before_run->fn(before_run->data, err);
	if (r == 0)
		r = qemu_cont(config, &q, err);
	if (r < 0) {
		(void)qemu_explain(config, &proc, r, err);
		(void)error_wrap(err, "restore");
		return r;
	}
	*ret_proc = proc;
	proc = PROC_INIT;
	return 0;
}
