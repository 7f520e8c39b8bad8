/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/proc/proc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

enum { FDS_MAX = 32, OUTPUT_DEFAULT = 64 * 1024, TIMEOUT_DEFAULT_MS = 60 * 1000 };

static const char *const env_default[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
	"HOME=/", NULL
};

static proc_spawn_hook *spawn_hook;

void proc_set_spawn_hook(proc_spawn_hook *hook)
{
	spawn_hook = hook;
}

uint64_t proc_start_time(pid_t pid)
{
	autofree char *data = NULL;
	unsigned long long start;
	char path[64];
	char *p;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (read_file(path, 8192, &data, NULL) < 0)
		return 0;
	/* The command name may hold blanks and parentheses: fields are counted from its last ')'.
	 */
	p = strrchr(data, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p + 1, ' ');
	}
	if (!p)
		return 0;
	errno = 0;
	start = strtoull(p + 1, NULL, 10);
	return errno ? 0 : start;
}

int proc_adopt(pid_t pid, uint64_t start_time, struct proc *ret_proc)
{
	autoclose int fd = -1;
	uint64_t now;

	if (pid <= 0)
		return -ESRCH;
	fd = pidfd_open(pid, 0);
	if (fd < 0)
		return -errno;
	/* Read after the pidfd is held: the number can't be handed to another process unnoticed any
	 * more. */
	now = proc_start_time(pid);
	if (now == 0 || (start_time != 0 && now != start_time))
		return -ESRCH;
	if (pidfd_send_signal(fd, 0, NULL, 0) < 0 && errno == ESRCH)
		return -ESRCH;
	*ret_proc = (struct proc){ .pid = pid, .pidfd = take_fd(&fd), .start_time = now };
	return 0;
}

/* A number above every descriptor that takes part. */
static int scratch_base(const struct proc_spec *spec, const int std[3])
{
	int base = 3;

	assert(spec->n_fds <= FDS_MAX);
	for (int i = 0; i < 3; i++)
		base = std[i] >= base ? std[i] + 1 : base;
	for (size_t i = 0; i < spec->n_fds; i++) {
		assert(spec->fds[i].theirs > 2);
		base = spec->fds[i].ours >= base ? spec->fds[i].ours + 1 : base;
		base = spec->fds[i].theirs >= base ? spec->fds[i].theirs + 1 : base;
	}
	return base;
}

/*
 * Descriptors are first duplicated to numbers above all targets, so that no dup2 overwrites one
 * that is still needed; dup2 onto itself would keep close-on-exec.
 */
static int add_fd_actions(posix_spawn_file_actions_t *fa, const struct proc_spec *spec)
{
	int std[3] = { spec->stdin_fd, spec->stdout_fd, spec->stderr_fd };
	int scratch = scratch_base(spec, std);
	int highest = 2;
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		if (std[i] >= 0)
			r = posix_spawn_file_actions_adddup2(fa, std[i], scratch + i);
	for (size_t i = 0; i < spec->n_fds && r == 0; i++) {
		r = posix_spawn_file_actions_adddup2(fa, spec->fds[i].ours, scratch + 3 + (int)i);
	}
	for (int i = 0; i < 3 && r == 0; i++) {
		if (std[i] >= 0)
			r = posix_spawn_file_actions_adddup2(fa, scratch + i, i);
		else
			r = posix_spawn_file_actions_addopen(fa, i, "/dev/null", O_RDWR, 0);
	}
	for (size_t i = 0; i < spec->n_fds && r == 0; i++) {
		r = posix_spawn_file_actions_adddup2(fa, scratch + 3 + (int)i, spec->fds[i].theirs);
		if (spec->fds[i].theirs > highest)
			highest = spec->fds[i].theirs;
	}
	/* Numbers between 3 and the highest target that were not asked for are closed one by one.
	 */
	for (int fd = 3; fd < highest && r == 0; fd++) {
		bool wanted = false;

		for (size_t i = 0; i < spec->n_fds; i++)
			wanted |= spec->fds[i].theirs == fd;
		if (!wanted)
			r = posix_spawn_file_actions_addclose(fa, fd);
	}
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa, highest + 1);
	return -r;
}

static int spawn_pid(const struct proc_spec *spec, pid_t *ret_pid)
{
	const char *const *env = spec->env ? spec->env : env_default;
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	sigset_t all;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (spec->new_session)
		flags |= POSIX_SPAWN_SETSID;
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr, flags);
	r = add_fd_actions(&fa, spec);
	if (r == 0)
		r = -posix_spawn(ret_pid, spec->argv[0], &fa, &attr,
				 (char *const *)(uintptr_t)spec->argv,
				 (char *const *)(uintptr_t)env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return r;
}

int proc_spawn(const struct proc_spec *spec, struct proc *ret_proc, struct error *err)
{
	pid_t pid = 0;
	int r;

	assert(spec->argv[0][0] == '/');
	if (spawn_hook)
		return spawn_hook(spec, ret_proc, err);
	r = spawn_pid(spec, &pid);
	if (r < 0)
		return error_errno(err, r, "start %s", spec->argv[0]);
	/* Our own child stays a zombie until it is reaped, so its number is still its own here. */
	*ret_proc = (struct proc){ .pid = pid,
				   .pidfd = pidfd_open(pid, 0),
				   .start_time = proc_start_time(pid) };
	if (ret_proc->pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		*ret_proc = PROC_INIT;
		return error_errno(err, r, "pidfd_open for %s", spec->argv[0]);
	}
	return 0;
}

int proc_signal(const struct proc *proc, int sig)
{
	if (proc->pidfd < 0)
		return -ESRCH;
	return pidfd_send_signal(proc->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int reap(const struct proc *proc, int *ret_status)
{
	siginfo_t si = { 0 };

	if (waitid(P_PIDFD, (id_t)proc->pidfd, &si, WEXITED) < 0) {
		*ret_status = -1;
		return errno == ECHILD ? 0 : -errno;
	}
	*ret_status = si.si_code == CLD_EXITED ? (si.si_status & 0xff) << 8 : si.si_status & 0x7f;
	return 0;
}

int proc_wait(const struct proc *proc, int timeout_ms, int cancel_fd, int *ret_status)
{
	int64_t deadline = clock_mono_us() + (int64_t)timeout_ms * 1000;

	assert(proc->pidfd >= 0);
	for (;;) {
		struct pollfd p[2] = { { .fd = proc->pidfd, .events = POLLIN },
				       { .fd = cancel_fd, .events = POLLIN } };
		int64_t left = -1;
		int n;

		if (timeout_ms >= 0) {
			left = (deadline - clock_mono_us() + 999) / 1000;
			if (left < 0)
				left = 0;
		}
		n = poll(p, 2, (int)left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[0].revents)
			return reap(proc, ret_status);
		if (n > 0 && p[1].revents)
			return -ECANCELED;
		if (n == 0 && timeout_ms >= 0)
			return -ETIMEDOUT;
	}
}

void proc_done(struct proc *proc)
{
	close_keep_errno(proc->pidfd);
	*proc = PROC_INIT;
}

void proc_kill(struct proc *proc)
{
	int status;

	if (proc->pidfd >= 0) {
		(void)proc_signal(proc, SIGKILL);
		(void)proc_wait(proc, 10 * 1000, -1, &status);
	}
	proc_done(proc);
}

/* --- run to the end --- */

struct run_state {
	int in_fd;
	int out_fd;
	int err_fd;
	size_t in_off;
	struct buf out;
	struct proc_result *result;
	size_t err_len;
};

/* Keeps the tail: the last words of a program say why it failed. */
static void keep_tail(struct proc_result *result, size_t *len, const char *data, size_t n)
{
	size_t max = sizeof(result->err) - 1;

	if (n > max) {
		data += n - max;
		n = max;
	}
	if (*len + n > max) {
		size_t drop = *len + n - max;

		memmove(result->err, result->err + drop, *len - drop);
		*len -= drop;
	}
	memcpy(result->err + *len, data, n);
	*len += n;
	result->err[*len] = '\0';
}

static void drain(struct run_state *st, int *fd, bool is_err)
{
	char data[16384];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close_keep_errno(take_fd(fd));
		return;
	}
	if (is_err) {
		keep_tail(st->result, &st->err_len, data, (size_t)n);
	} else {
		size_t room = st->out.max - buf_len(&st->out);

		(void)!buf_append(&st->out, data, (size_t)n < room ? (size_t)n : room);
	}
}

static void feed(struct run_state *st, const struct proc_run *run)
{
	ssize_t n = write(st->in_fd, (const char *)run->input + st->in_off,
			  run->input_len - st->in_off);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		st->in_off += (size_t)n;
	if (n < 0 || st->in_off == run->input_len)
		close_keep_errno(take_fd(&st->in_fd));
}

static int pump(struct run_state *st, const struct proc_run *run, const struct proc *proc)
{
	int timeout_ms = run->timeout_ms ? run->timeout_ms : TIMEOUT_DEFAULT_MS;
	int64_t deadline = clock_mono_us() + (int64_t)timeout_ms * 1000;

	for (;;) {
		bool streams = st->out_fd >= 0 || st->err_fd >= 0;
		struct pollfd p[5] = { { .fd = st->in_fd, .events = POLLOUT },
				       { .fd = st->out_fd, .events = POLLIN },
				       { .fd = st->err_fd, .events = POLLIN },
				       { .fd = run->cancel_fd, .events = POLLIN },
				       { .fd = proc->pidfd, .events = POLLIN } };
		int64_t left = (deadline - clock_mono_us() + 999) / 1000;
		int n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(p, ARRAY_SIZE(p), (int)left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		if (p[3].revents)
			return -ECANCELED;
		if (p[0].revents)
			feed(st, run);
		if (p[1].revents)
			drain(st, &st->out_fd, false);
		if (p[2].revents)
			drain(st, &st->err_fd, true);
		/* Once it has ended, what is in the pipes is all: a grandchild that holds them open
		 * is not waited for. */
		if (p[4].revents && (!streams || (!p[1].revents && !p[2].revents)))
			return 0;
	}
}

static int make_pipe(int *ours, int *theirs, bool we_write)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ours = p[we_write ? 1 : 0];
	*theirs = p[we_write ? 0 : 1];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void run_state_done(struct run_state *st)
{
	close_keep_errno(st->in_fd);
	close_keep_errno(st->out_fd);
	close_keep_errno(st->err_fd);
	buf_done(&st->out);
}

int proc_run(const struct proc_spec *spec, const struct proc_run *run,
	     struct proc_result *ret_result, struct error *err)
{
	struct proc proc CLEANUP(proc_kill_p) = PROC_INIT;
	struct run_state st CLEANUP(run_state_done) = { .in_fd = -1, .out_fd = -1, .err_fd = -1 };
	struct proc_result result = { .status = -1 };
	struct proc_spec mine = *spec;
	autoclose int in = -1;
	autoclose int out = -1;
	autoclose int errs = -1;
	int r = 0;

	st.result = &result;
	buf_init(&st.out, run->output_max ? run->output_max : OUTPUT_DEFAULT);
	if (run->input) {
		r = make_pipe(&st.in_fd, &in, true);
		mine.stdin_fd = in;
	}
	if (r == 0 && spec->stdout_fd < 0) {
		r = make_pipe(&st.out_fd, &out, false);
		mine.stdout_fd = out;
	}
	if (r == 0)
		r = make_pipe(&st.err_fd, &errs, false);
	mine.stderr_fd = errs;
	if (r < 0)
		return error_errno(err, r, "pipe for %s", spec->argv[0]);
	r = proc_spawn(&mine, &proc, err);
	if (r < 0)
		return r;
	close_keep_errno(take_fd(&in));
	close_keep_errno(take_fd(&out));
	close_keep_errno(take_fd(&errs));
	r = pump(&st, run, &proc);
	if (r < 0)
		return error_errno(err, r, "%s", spec->argv[0]);
	r = proc_wait(&proc, 1000, -1, &result.status);
	if (r < 0)
		return error_errno(err, r, "wait for %s", spec->argv[0]);
	if (buf_append(&st.out, "", 1) < 0) {
		st.out.max++;
		if (buf_append(&st.out, "", 1) < 0)
			return error_errno(err, -ENOMEM, "output of %s", spec->argv[0]);
	}
	result.out_len = buf_len(&st.out) - 1;
	result.out = (char *)TAKE_PTR(st.out.data);
	*ret_result = result;
	return 0;
}

void proc_result_done(struct proc_result *result)
{
	free(result->out);
	result->out = NULL;
}

/* The last line that says something. */
static const char *last_line(char *s)
{
	size_t n = strlen(s);
	char *p;

	while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == ' ' || s[n - 1] == '\r'))
		s[--n] = '\0';
	p = strrchr(s, '\n');
	return p ? p + 1 : s;
}

int proc_run_ok(const struct proc_spec *spec, const struct proc_run *run, struct error *err)
{
	struct proc_result result CLEANUP(proc_result_done) = { .status = -1 };
	char how[64];
	int r;

	r = proc_run(spec, run, &result, err);
	if (r < 0)
		return r;
	if (result.status == 0)
		return 0;
	(void)proc_status_format(result.status, how, sizeof(how));
	return error_set(err, ERR_INTERNAL, "%s: %s: %s", spec->argv[0], how,
			 last_line(result.err));
}

char *proc_status_format(int status, char *buf, size_t size)
{
	if (status < 0)
		(void)snprintf(buf, size, "ended");
	else if (WIFEXITED(status))
		(void)snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
	else
		(void)snprintf(buf, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	return buf;
}

char *proc_find_program(const char *name)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					    "/usr/bin",        "/sbin",          "/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		autofree char *path = path_join(dirs[i], name);

		if (path && access(path, X_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}
