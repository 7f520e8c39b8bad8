/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

enum { TICK_MS = 250, TERM_MS = 3000, QUOTE_MAX = 300, LINE_PIECE = 4096 };

/* The program leads its own session, and its number stays taken until it is reaped: its process
 * group can be signalled without hitting anybody else. */
static void end_group(struct proc *proc)
{
	int status;

	if (proc->pidfd < 0)
		return;
	(void)kill(-proc->pid, SIGTERM);
	for (int waited = 0; waited < TERM_MS; waited += 20) {
		siginfo_t si = { 0 };

		if (waitid(P_PIDFD, (id_t)proc->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		    si.si_pid != 0)
			break;
		(void)usleep(20 * 1000);
	}
	(void)kill(-proc->pid, SIGKILL);
	(void)proc_wait(proc, 10 * 1000, -1, &status);
	proc_done(proc);
}

void task_abandon(struct task_running *running)
{
	end_group(&running->proc);
	close_keep_errno(running->log_fd);
	*running = TASK_RUNNING_INIT;
}

int task_start(const struct task *task, struct task_running *ret_running, struct error *err)
{
	struct task_running running CLEANUP(task_abandon) = TASK_RUNNING_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	int r;

	running.program = task->argv[0];
	running.log_fd = memfd_create("task-log", MFD_CLOEXEC);
	if (running.log_fd < 0)
		return error_errno(err, -errno, "memfd for %s", task->argv[0]);
	/* The program and the one that reads afterwards share the offset: both append. */
	spec.argv = task->argv;
	spec.env = task->env;
	spec.stdin_fd = task->stdin_fd;
	spec.stdout_fd = task->stdout_fd >= 0 ? task->stdout_fd : running.log_fd;
	spec.stderr_fd = running.log_fd;
	spec.new_session = true;
	r = proc_spawn(&spec, &running.proc, err);
	if (r < 0)
		return r;
	*ret_running = running;
	running = TASK_RUNNING_INIT;
	return 0;
}

void lines_follow(struct lines *lines, line_fn *fn, void *data)
{
	char text[LINE_PIECE + 1];

	for (;;) {
		ssize_t n = pread(lines->fd, text, LINE_PIECE, lines->at);
		char *end;

		if (n <= 0)
			return;
		text[n] = '\0';
		end = strchr(text, '\n');
		if (!end && n < LINE_PIECE)
			return;
		if (end)
			*end = '\0';
		fn(data, text);
		lines->at += end ? end - text + 1 : n;
	}
}

/* The last non-empty line, else what there is. */
static void quote_log(int log_fd, char *buf, size_t size)
{
	struct stat st;
	off_t from;
	ssize_t n;
	char *line;

	buf[0] = '\0';
	if (fstat(log_fd, &st) < 0)
		return;
	from = st.st_size > (off_t)size - 1 ? st.st_size - (off_t)size + 1 : 0;
	n = pread(log_fd, buf, size - 1, from);
	buf[n > 0 ? n : 0] = '\0';
	for (n = (ssize_t)strlen(buf); n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '); n--)
		buf[n - 1] = '\0';
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line + 1) + 1);
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

static int check_status(const struct task_running *running, int status, struct error *err)
{
	char quote[QUOTE_MAX];
	char how[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	quote_log(running->log_fd, quote, sizeof(quote));
	return error_set(err, ERR_INTERNAL, "%s: %s%s%s", running->program,
			 proc_status_format(status, how, sizeof(how)), quote[0] ? ": " : "", quote);
}

int task_finish(struct task_running *running, const struct task *task, struct op *op,
		struct error *err)
{
	int64_t deadline = clock_mono_us() + (int64_t)task->timeout_s * 1000 * 1000;
	int status = -1;
	int r;

	for (;;) {
		r = proc_wait(&running->proc, TICK_MS, op_cancel_fd(op), &status);
		if (r != -ETIMEDOUT)
			break;
		if (clock_mono_us() > deadline)
			return error_set(err, ERR_TIMEOUT, "%s: not done after %d s", task->argv[0],
					 task->timeout_s);
		r = task->tick ? task->tick(task->tick_data, err) : 0;
		if (r < 0)
			return r;
	}
	if (r == -ECANCELED) {
		r = op_check(op, err);
		return r < 0 ? r : error_set(err, ERR_CANCELLED, "cancelled");
	}
	if (r < 0)
		return error_errno(err, r, "wait for %s", task->argv[0]);
	proc_done(&running->proc);
	return check_status(running, status, err);
}

int task_run(const struct task *task, struct op *op, struct error *err)
{
	struct task_running running CLEANUP(task_abandon) = TASK_RUNNING_INIT;
	int r = task_start(task, &running, err);

	return r < 0 ? r : task_finish(&running, task, op, err);
}
