/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exec's output goes from the guest's link straight into its log, and only then is acknowledged;
 * readers take it from there at their own pace. What the log can't take (a full disk) stays in the
 * guest: the handle is let go, and taken up again later from where the log ends.
 */
#include "server/vm/execs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/vm/exec_log.h"
#include "server/vm/exec_words.h"
#include "server/vm/execs_internal.h"
#include "server/vm/idle.h"
#include "server/vm/vm_internal.h"

#define EXECS_DIR "execs"

enum { RETRY_US = 1000 * 1000 };

struct vm_exec_watch {
	struct vm_exec_watch *next;
	struct vm_exec *exec;
	vm_exec_fn *fn; /* NULL: removed during a walk */
	void *data;
};

struct vm_exec {
	struct vm_exec *next; /* older */
	struct vm *vm;
	struct exec_row row;
	struct error error;
	struct guest_exec *handle; /* NULL: ended, or its VM has no process now */
	struct exec_log log;
	struct buf input; /* given at the start and not yet taken */
	bool input_open;  /* stays open behind that */
	bool busy;        /* counted in vm->busy */
	bool walking;     /* over the watches */
	bool doomed;      /* to be freed after the walk */
	struct vm_exec_watch *watches;
	struct loop_timer *timer; /* to take the output up again; or to forget a terminal */
};

static void attach(struct vm_exec *exec);
static void forget_later(struct vm_exec *exec);

/* --- watches --- */

static void sweep(struct vm_exec *exec)
{
	for (struct vm_exec_watch **p = &exec->watches; *p;) {
		struct vm_exec_watch *dead = *p;

		if (dead->fn) {
			p = &dead->next;
			continue;
		}
		*p = dead->next;
		free(dead);
	}
}

static void exec_free(struct vm_exec *exec);

static void walk(struct vm_exec *exec, enum vm_exec_news news)
{
	exec->walking = true;
	for (struct vm_exec_watch *w = exec->watches; w; w = w->next)
		if (w->fn)
			w->fn(w->data, news);
	exec->walking = false;
	sweep(exec);
}

/* The exec may be gone when this returns. */
static void tell(struct vm_exec *exec, enum vm_exec_news news)
{
	if (exec->walking) /* whoever is being told looks at the newest state anyhow */
		return;
	walk(exec, news);
	if (exec->doomed)
		exec_free(exec);
}

struct vm_exec_watch *vm_exec_watch(struct vm_exec *exec, vm_exec_fn *fn, void *data)
{
	struct vm_exec_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct vm_exec_watch){ .next = exec->watches, .exec = exec, .fn = fn, .data = data };
	exec->watches = w;
	if (exec->row.temporary && exec->handle)
		loop_timer_clear(exec->timer);
	return w;
}

void vm_exec_unwatch(struct vm_exec_watch *w)
{
	struct vm_exec *exec = w ? w->exec : NULL;

	if (!w)
		return;
	w->fn = NULL;
	if (exec->walking)
		return;
	sweep(exec);
	if (exec->watches || exec->doomed)
		return;
	if (vm_exec_ended(exec))
		exec_log_close(&exec->log);
	if (exec->row.temporary)
		forget_later(exec);
}

/* --- life --- */

static void set_busy(struct vm_exec *exec, bool busy)
{
	if (exec->busy != busy)
		vm_busy(exec->vm->vms, exec->vm->row.id, busy ? 1 : -1);
	exec->busy = busy;
}

/* The last walk, and away with it. */
static void exec_free(struct vm_exec *exec)
{
	walk(exec, VM_EXEC_GONE);
	while (exec->watches) {
		struct vm_exec_watch *w = exec->watches;

		exec->watches = w->next;
		free(w);
	}
	loop_timer_free(exec->timer);
	exec_log_close(&exec->log);
	buf_done(&exec->input);
	free(exec);
}

/* Leaves the list; memory only. */
static void dismiss(struct vm_exec *exec)
{
	for (struct vm_exec **p = &exec->vm->execs; *p; p = &(*p)->next) {
		if (*p == exec) {
			*p = exec->next;
			break;
		}
	}
	if (exec->handle)
		guest_exec_detach(TAKE_PTR(exec->handle));
	set_busy(exec, false);
	exec->doomed = true;
	if (!exec->walking)
		exec_free(exec);
}

static int open_dir(const struct vm *vm)
{
	autoclose int dir = open_beneath(vm->vms->vms_fd, vm->row.id, O_RDONLY | O_DIRECTORY, 0);

	return dir < 0 ? dir : open_subdir(dir, EXECS_DIR, 0700);
}

static int open_log(struct vm_exec *exec)
{
	autoclose int dir = -1;

	if (exec->log.fd >= 0)
		return 0;
	dir = open_dir(exec->vm);
	return dir < 0 ? dir : exec_log_open(dir, exec->row.id, &exec->log);
}

static void store(struct vm_exec *exec)
{
	struct error err;

	if (execs_update(exec->vm->vms->c.store, &exec->row, &err) < 0)
		log_fields(LOG_ERROR, "state of an exec not stored", "exec", exec->row.id, "error",
			   err.msg, NULL);
}

static void announce(struct vm_exec *exec, const char *kind)
{
	events_emit(exec->vm->vms->c.events, &(struct event){ .kind = kind,
							      .target = exec->vm->row.id,
							      .target_name = exec->vm->row.name,
							      .by = exec->row.by,
							      .data = vm_exec_to_json(exec) });
}

/* It has ended, one way or the other. The exec may be gone when this returns. */
static void ended(struct vm_exec *exec, const char *state)
{
	bool had_started = exec->row.started_ms != 0;

	(void)snprintf(exec->row.state, sizeof(exec->row.state), "%s", state);
	(void)snprintf(exec->row.reason, sizeof(exec->row.reason), "%s",
		       exec->error.code == ERR_NONE ? "" : exec->error.msg);
	exec->row.ended_ms = clock_wall_ms();
	set_busy(exec, false);
	buf_done(&exec->input);
	exec->row.output_bytes = (int64_t)exec->log.end;
	if (!exec->watches)
		exec_log_close(&exec->log);
	store(exec);
	if (had_started)
		announce(exec, "exec.ended");
	if (exec->row.temporary && !exec->watches)
		forget_later(exec);
	tell(exec, VM_EXEC_CHANGED);
}

static void lost(struct vm_exec *exec, const char *why)
{
	(void)error_set(&exec->error, ERR_GUEST, "%s", why);
	ended(exec, "lost");
}

/* --- from the guest --- */

static void pump_input(struct vm_exec *exec)
{
	while (exec->handle && buf_len(&exec->input) > 0) {
		size_t n = guest_exec_write(exec->handle, buf_bytes(&exec->input),
					    buf_len(&exec->input));

		if (n == 0)
			return;
		buf_consume(&exec->input, n);
		if (buf_len(&exec->input) == 0 && !exec->input_open)
			guest_exec_close_stdin(exec->handle);
	}
}

static void on_started(void *data, int64_t pid)
{
	struct vm_exec *exec = data;

	if (!vm_exec_starting(exec))
		return;
	(void)snprintf(exec->row.state, sizeof(exec->row.state), "running");
	exec->row.pid = pid > 0 && pid <= INT32_MAX ? pid : 0;
	exec->row.started_ms = clock_wall_ms();
	store(exec);
	announce(exec, "exec.started");
	tell(exec, VM_EXEC_CHANGED);
}

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	struct vm_exec *exec = data;
	int r = exec_log_append(&exec->log, is_stderr, bytes, len);

	vm_touch(exec->vm);
	if (r < 0) {
		log_fields(LOG_WARN, "output of an exec can't be kept; it waits in the guest",
			   "exec", exec->row.id, "error", strerrordesc_np(-r), NULL);
		guest_exec_detach(TAKE_PTR(exec->handle));
		loop_timer_set(exec->timer, RETRY_US);
		return false;
	}
	tell(exec, VM_EXEC_CHANGED);
	return true;
}

static void on_writable(void *data)
{
	struct vm_exec *exec = data;

	pump_input(exec);
	if (buf_len(&exec->input) == 0)
		tell(exec, VM_EXEC_WRITABLE);
}

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct vm_exec *exec = data;

	exec->handle = NULL;
	exec->row.timed_out = end->timed_out;
	exec->error = end->error;
	if (end->error.code == ERR_NONE) {
		exec->row.exit_code = end->exited ? end->exit_code : -1;
		exec->row.signal = end->exited ? 0 : end->signal;
		ended(exec, "exited");
	} else {
		ended(exec, vm_exec_starting(exec) ? "failed" : "lost");
	}
}

static const struct guest_exec_callbacks callbacks = {
	.started = on_started, .output = on_output, .writable = on_writable, .end = on_end
};

/* Nobody has looked at this terminal for long: its session ends as if the line had dropped. */
static void on_timer(void *data)
{
	struct vm_exec *exec = data;

	if (vm_exec_ended(exec) || exec->handle)
		vm_exec_delete(exec);
	else if (exec->vm->guest)
		attach(exec);
}

static void forget_later(struct vm_exec *exec)
{
	loop_timer_set(exec->timer, (int64_t)VM_EXEC_UNSEEN_S * 1000000);
}

/* Takes up what an earlier server, or an earlier process of the VM, has left running. */
static void attach(struct vm_exec *exec)
{
	struct error err = ERROR_INIT;
	int r = open_log(exec);

	if (r == 0)
		r = guest_exec_attach(exec->vm->guest, exec->row.id, exec->log.end, &callbacks,
				      exec, &exec->handle, &err);
	if (r < 0) {
		log_fields(LOG_ERROR, "an exec can't be taken up", "exec", exec->row.id, "error",
			   err.code == ERR_NONE ? strerrordesc_np(-r) : err.msg, NULL);
		loop_timer_set(exec->timer, RETRY_US);
		return;
	}
	if (!exec->handle) /* has ended already */
		return;
	set_busy(exec, true);
	loop_timer_clear(exec->timer);
	if (exec->row.temporary && !exec->watches)
		forget_later(exec);
}

/* --- with the VM --- */

void vm_execs_attach(struct vm *vm)
{
	for (struct vm_exec *exec = vm->execs; exec; exec = exec->next)
		if (!vm_exec_ended(exec) && !exec->handle)
			attach(exec);
}

void vm_execs_detach(struct vm *vm, bool suspended)
{
	struct vm_exec *next;

	for (struct vm_exec *exec = vm->execs; exec; exec = next) {
		next = exec->next;
		if (vm_exec_ended(exec))
			continue;
		if (exec->handle)
			guest_exec_detach(TAKE_PTR(exec->handle));
		loop_timer_clear(exec->timer);
		set_busy(exec, false);
		if (!suspended)
			lost(exec, "the VM has ended");
	}
}

void vm_execs_free(struct vm *vm)
{
	while (vm->execs)
		dismiss(vm->execs);
}

static struct vm_exec *exec_new(struct vm *vm, const struct exec_row *row)
{
	struct vm_exec *exec = calloc(1, sizeof(*exec));

	if (!exec || loop_timer_new(vm->vms->c.loop, on_timer, exec, &exec->timer) < 0) {
		free(exec);
		return NULL;
	}
	exec->vm = vm;
	exec->row = *row;
	exec->log = EXEC_LOG_INIT;
	exec->input_open = true;
	buf_init(&exec->input, VM_EXEC_INPUT_MAX);
	exec->next = vm->execs;
	vm->execs = exec;
	return exec;
}

static int load(const struct exec_row *row, void *data, struct error *err)
{
	struct vms *vms = data;
	struct vm *vm = vms_find(vms, row->vm_id);
	struct vm_exec *exec = vm ? exec_new(vm, row) : NULL;

	if (vm && !exec)
		return error_errno(err, -ENOMEM, "execs");
	if (exec && row->reason[0])
		(void)error_set(&exec->error, ERR_GUEST, "%s", row->reason);
	return 0;
}

int vm_execs_load(struct vms *vms, struct error *err)
{
	return execs_each(vms->c.store, load, vms, err);
}

/* --- for the API --- */

/* As much of it as is shown later. */
static void keep_argv(const json_t *argv, struct exec_row *row)
{
	json_auto_t *kept = json_array();
	autofree char *text = NULL;
	size_t room = EXEC_ARGV_MAX / 2;
	const json_t *one;
	size_t i;

	json_array_foreach (argv, i, one) {
		size_t len = json_string_length(one) + 4;

		if (len > room)
			break;
		room -= len;
		(void)json_array_append(kept, (json_t *)(uintptr_t)one);
	}
	text = json_text(kept);
	/* Control characters grow sixfold as JSON. */
	(void)snprintf(row->argv, sizeof(row->argv), "%s",
		       text && strlen(text) < sizeof(row->argv) ? text : "[]");
}

static void evict(struct vm *vm)
{
	struct vm_exec *oldest = NULL;
	size_t n = 0;

	for (struct vm_exec *exec = vm->execs; exec; exec = exec->next) {
		if (!vm_exec_ended(exec) || exec->watches)
			continue;
		oldest = exec;
		n++;
	}
	if (n > VM_EXECS_ENDED_MAX)
		vm_exec_delete(oldest);
}

static int check_room(struct vm *vm, struct error *err)
{
	size_t n = 0;

	evict(vm);
	for (const struct vm_exec *exec = vm->execs; exec; exec = exec->next)
		n++;
	if (n >= VM_EXECS_MAX)
		return error_set(err, ERR_NO_ROOM, "VM '%s' has %zu execs; at most %d are kept",
				 vm->row.name, n, VM_EXECS_MAX);
	return 0;
}

static int begin(struct vm_exec *exec, const struct vm_exec_spec *spec, struct error *err)
{
	struct exec_words words CLEANUP(exec_words_done) = { .config = NULL };
	struct guest_exec_spec guest = spec->guest;
	int r = open_log(exec);

	if (r < 0)
		return error_errno(err, r, "make the log of an exec");
	r = vm_exec_words(exec->vm, &guest, &words, err);
	if (r < 0)
		return r;
	if (spec->input && buf_append(&exec->input, spec->input, strlen(spec->input)) < 0)
		return error_set(err, ERR_TOO_LARGE, "more than %d bytes of input",
				 VM_EXEC_INPUT_MAX);
	exec->input_open = guest.stdin_open;
	guest.stdin_open = guest.stdin_open || spec->input;
	r = guest_exec_start(exec->vm->guest, exec->row.id, &guest, &callbacks, exec, &exec->handle,
			     err);
	if (r < 0)
		return r;
	set_busy(exec, exec->handle != NULL);
	if (exec->handle && spec->input && !*spec->input && !exec->input_open)
		guest_exec_close_stdin(exec->handle);
	pump_input(exec);
	return 0;
}

int vm_exec_start(struct vm *vm, const struct vm_exec_spec *spec, const char *who,
		  struct vm_exec **ret_exec, struct error *err)
{
	struct exec_row row = { .state = "starting",
				.tty = spec->guest.tty,
				.temporary = spec->temporary,
				.exit_code = -1,
				.created_ms = clock_wall_ms() };
	struct vm_exec *exec;
	int r = vm_state_allows(vm->state, VM_VERB_EXEC, vm->row.name, err);

	if (r == 0 && !vm->guest)
		r = error_set(err, ERR_STATE, "VM '%s' has no process now", vm->row.name);
	if (r == 0)
		r = check_room(vm, err);
	if (r < 0)
		return r;
	(void)snprintf(row.id, sizeof(row.id), "%s", spec->id ? spec->id : id_new().s);
	(void)snprintf(row.vm_id, sizeof(row.vm_id), "%s", vm->row.id);
	(void)snprintf(row.user, sizeof(row.user), "%s", spec->guest.user ? spec->guest.user : "");
	(void)snprintf(row.by, sizeof(row.by), "%s", who);
	keep_argv(spec->guest.argv, &row);
	r = execs_insert(vm->vms->c.store, &row, err);
	if (r < 0)
		return r;
	exec = exec_new(vm, &row);
	r = exec ? begin(exec, spec, err) : error_errno(err, -ENOMEM, "exec");
	if (r < 0) {
		struct error ignored;

		(void)!execs_delete(vm->vms->c.store, row.id, &ignored);
		if (exec)
			dismiss(exec);
		return r;
	}
	*ret_exec = exec;
	return 0;
}

int vm_exec_get(struct vm *vm, const char *id, struct vm_exec **ret_exec, struct error *err)
{
	for (struct vm_exec *exec = vm->execs; exec; exec = exec->next) {
		if (streq(exec->row.id, id) && !exec->doomed) {
			*ret_exec = exec;
			return 0;
		}
	}
	return error_set(err, ERR_NOT_FOUND, "VM '%s' has no exec %s", vm->row.name, id);
}

struct vm_exec *vm_exec_next(struct vm *vm, struct vm_exec *after)
{
	return after ? after->next : vm->execs;
}

const struct exec_row *vm_exec_row(const struct vm_exec *exec)
{
	return &exec->row;
}

bool vm_exec_starting(const struct vm_exec *exec)
{
	return streq(exec->row.state, "starting");
}

bool vm_exec_ended(const struct vm_exec *exec)
{
	return exec->row.ended_ms != 0;
}

const struct error *vm_exec_error(const struct vm_exec *exec)
{
	return &exec->error;
}

void vm_exec_delete(struct vm_exec *exec)
{
	autoclose int dir = open_dir(exec->vm);
	struct error err;

	if (exec->handle)
		guest_exec_kill(TAKE_PTR(exec->handle));
	if (dir >= 0 && unlinkat(dir, exec->row.id, 0) < 0 && errno != ENOENT)
		log_fields(LOG_WARN, "log of an exec not removed", "exec", exec->row.id, "error",
			   strerrordesc_np(errno), NULL);
	if (execs_delete(exec->vm->vms->c.store, exec->row.id, &err) < 0)
		log_fields(LOG_ERROR, "row of an exec not removed", "exec", exec->row.id, "error",
			   err.msg, NULL);
	dismiss(exec);
}

int vm_exec_check_runs(const struct vm_exec *exec, struct error *err)
{
	if (vm_exec_ended(exec))
		return error_set(err, ERR_STATE, "exec %s has ended", exec->row.id);
	if (!exec->handle)
		return error_set(err, ERR_STATE, "exec %s stands still with its VM", exec->row.id);
	return 0;
}

size_t vm_exec_write(struct vm_exec *exec, const void *bytes, size_t len)
{
	if (!exec->handle)
		return len;
	if (buf_len(&exec->input) > 0)
		return 0;
	return guest_exec_write(exec->handle, bytes, len);
}

void vm_exec_close_stdin(struct vm_exec *exec)
{
	exec->input_open = false;
	if (exec->handle && buf_len(&exec->input) == 0)
		guest_exec_close_stdin(exec->handle);
}

void vm_exec_resize(struct vm_exec *exec, uint16_t rows, uint16_t cols)
{
	if (exec->handle)
		guest_exec_resize(exec->handle, rows, cols);
}

void vm_exec_signal(struct vm_exec *exec, int sig)
{
	if (exec->handle)
		guest_exec_signal(exec->handle, sig);
}

uint64_t vm_exec_base(struct vm_exec *exec)
{
	return open_log(exec) < 0 ? 0 : exec_log_base(&exec->log);
}

uint64_t vm_exec_end(struct vm_exec *exec)
{
	if (vm_exec_ended(exec))
		return (uint64_t)exec->row.output_bytes;
	return open_log(exec) < 0 ? 0 : exec->log.end;
}

ssize_t vm_exec_read(struct vm_exec *exec, uint64_t offset, void *to, size_t max,
		     bool *ret_is_stderr)
{
	int r = open_log(exec);

	return r < 0 ? r : exec_log_read(&exec->log, offset, to, max, ret_is_stderr);
}
