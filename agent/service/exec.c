/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum {
	READ_MAX = 64 * 1024,
	LINGER_US = 250 * 1000,
	KILL_AFTER_US = 5 * 1000 * 1000,
	OUTPUT_SHARE = 64 * 1024,        /* what each exec may hold in any case */
	OUTPUT_TOTAL = 16 * 1024 * 1024, /* beyond its share only while all hold less than this */
	TTY_EOF = 4,
};

static void pipe_watch(struct exec_pipe *p);

/* --- list --- */

struct exec *exec_find(const struct agent *agent, const char *id)
{
	struct exec *exec = agent->execs;

	while (exec && !streq(exec->id, id))
		exec = exec->next;
	return exec;
}

static void on_limit(void *data);
static void on_linger(void *data);

struct exec *exec_new(struct agent *agent, const char *id)
{
	struct exec *exec;

	if (agent->execs_running >= LINK_EXECS_MAX)
		return NULL;
	exec = calloc(1, sizeof(*exec));
	if (!exec)
		return NULL;
	exec->agent = agent;
	memcpy(exec->id, id, strnlen(id, LINK_EXEC_ID_MAX));
	exec->in_fd = exec->out.fd = exec->err.fd = -1;
	exec->out.exec = exec->err.exec = exec;
	exec->err.is_stderr = true;
	output_init(&exec->output);
	buf_init(&exec->in, LINK_EXEC_STDIN_WINDOW + 1); /* and a terminal's end */
	exec->next = agent->execs;
	agent->execs = exec;
	if (loop_timer_new(agent->loop, on_limit, exec, &exec->limit) < 0 ||
	    loop_timer_new(agent->loop, on_linger, exec, &exec->linger) < 0) {
		exec_free(exec);
		return NULL;
	}
	return exec;
}

static void close_input(struct exec *exec)
{
	loop_fd_remove(TAKE_PTR(exec->in_source));
	/* Of a terminal it is a duplicate, so that each way has its own descriptor to watch. */
	close_keep_errno(take_fd(&exec->in_fd));
}

static void pipe_close(struct exec_pipe *p)
{
	loop_fd_remove(TAKE_PTR(p->source));
	close_keep_errno(take_fd(&p->fd));
}

static void close_all(struct exec *exec)
{
	close_input(exec);
	pipe_close(&exec->out);
	pipe_close(&exec->err);
	loop_timer_clear(exec->linger);
}

void exec_free(struct exec *exec)
{
	struct agent *agent = exec->agent;

	for (struct exec **p = &agent->execs; *p; p = &(*p)->next) {
		if (*p == exec) {
			*p = exec->next;
			break;
		}
	}
	if (exec->talk)
		exec_talk_end(TAKE_PTR(exec->talk));
	if (exec->running) {
		agent_child_forget(agent, exec->pid);
		agent->execs_running--;
	}
	if (exec->ended)
		agent->execs_ended--;
	agent->output_bytes -= buf_len(&exec->output.bytes);
	close_all(exec);
	loop_timer_free(exec->limit);
	loop_timer_free(exec->linger);
	output_done(&exec->output);
	buf_done(&exec->in);
	free(exec);
}

/* The host can be gone for good: of ended ones only the newest are kept. */
static void evict(struct agent *agent)
{
	struct exec *oldest = NULL;

	for (struct exec *exec = agent->execs; exec; exec = exec->next)
		if (exec->ended && !exec->talk)
			oldest = exec;
	if (oldest && agent->execs_ended > LINK_EXECS_ENDED_MAX)
		exec_free(oldest);
}

void execs_done(struct agent *agent)
{
	while (agent->execs) {
		struct exec *exec = agent->execs;

		if (exec->running)
			(void)kill(-exec->pid, SIGKILL);
		exec_free(exec);
	}
}

json_t *execs_to_json(const struct agent *agent)
{
	json_t *list = json_array();

	for (const struct exec *exec = agent->execs; list && exec; exec = exec->next)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:i, s:b, s:b}", "id", exec->id, "pid",
						      (int)exec->pid, "running", exec->running,
						      "attached", exec->talk != NULL));
	return json_pack("{s:o}", "execs", list);
}

/* --- end --- */

static void tell(struct exec *exec)
{
	if (exec->talk)
		exec_talk_push(exec->talk);
}

/* Ended for good once the program is gone and its output is complete. */
static void check_ended(struct exec *exec)
{
	if (exec->ended || exec->running || exec->out.fd >= 0 || exec->err.fd >= 0)
		return;
	close_all(exec);
	exec->ended = true;
	exec->agent->execs_ended++;
	if (exec->released) {
		exec_free(exec);
		return;
	}
	tell(exec);
	evict(exec->agent);
}

static bool output_full(const struct exec *exec, bool is_stderr)
{
	return output_room(&exec->output, is_stderr) == 0 ||
	       (buf_len(&exec->output.bytes) >= OUTPUT_SHARE &&
		exec->agent->output_bytes >= OUTPUT_TOTAL);
}

static bool pipe_read(struct exec_pipe *p);

/* Takes what is in the pipe now, as far as there is room; what is added meanwhile does not count.
 */
static void drain(struct exec_pipe *p)
{
	uint64_t end;
	int there = 0;

	if (p->fd < 0 || ioctl(p->fd, FIONREAD, &there) < 0 || there <= 0)
		return;
	end = output_end(&p->exec->output) + (uint64_t)there;
	while (p->fd >= 0 && output_end(&p->exec->output) < end &&
	       !output_full(p->exec, p->is_stderr))
		if (!pipe_read(p))
			break;
	pipe_watch(p);
}

/*
 * Programs left behind still hold the pipes: what they may write later is nobody's. What the
 * program itself wrote is there by now, though a busy machine may have had no time to read it.
 */
static void on_linger(void *data)
{
	struct exec *exec = data;

	drain(&exec->out);
	drain(&exec->err);
	tell(exec);
	if ((exec->out.fd >= 0 && !exec->out.source) || (exec->err.fd >= 0 && !exec->err.source)) {
		loop_timer_set(exec->linger, LINGER_US);
		return;
	}
	pipe_close(&exec->out);
	pipe_close(&exec->err);
	check_ended(exec);
}

static void on_program_ended(void *data, int status)
{
	struct exec *exec = data;

	exec->running = false;
	exec->agent->execs_running--;
	exec->status = status;
	loop_timer_clear(exec->limit);
	if (exec->released) {
		exec_free(exec);
		return;
	}
	loop_timer_set(exec->linger, LINGER_US);
	check_ended(exec);
}

static void on_limit(void *data)
{
	struct exec *exec = data;

	if (!exec->running)
		return;
	(void)kill(-exec->pid, exec->timed_out ? SIGKILL : SIGTERM);
	if (!exec->timed_out)
		loop_timer_set(exec->limit, KILL_AFTER_US);
	exec->timed_out = true;
}

void exec_release(struct exec *exec)
{
	if (!exec->running) {
		exec_free(exec);
		return;
	}
	exec->released = true;
	exec->id[0] = '\0';
	if (exec->talk)
		exec_talk_end(TAKE_PTR(exec->talk));
	close_all(exec);
	(void)kill(-exec->pid, SIGKILL);
}

void exec_signal(struct exec *exec, int sig)
{
	if (exec->running && sig > 0 && sig <= SIGRTMAX)
		(void)kill(-exec->pid, sig);
}

/* --- output --- */

/* One read; false when there was nothing, or the pipe has been closed. */
static bool pipe_read(struct exec_pipe *p)
{
	struct exec *exec = p->exec;
	size_t room = output_room(&exec->output, p->is_stderr);
	size_t len = room < READ_MAX ? room : READ_MAX;
	uint8_t *to = output_reserve(&exec->output, len, p->is_stderr);
	ssize_t n = to ? read(p->fd, to, len) : -1;

	if (n > 0) {
		output_added(&exec->output, (size_t)n, p->is_stderr);
		exec->agent->output_bytes += (size_t)n;
		return true;
	}
	if (n < 0 && to && (errno == EAGAIN || errno == EINTR))
		return false;
	pipe_close(p); /* the end; EIO on a terminal */
	return false;
}

static void on_output(void *data, uint32_t events)
{
	struct exec_pipe *p = data;
	struct exec *exec = p->exec;

	(void)events;
	if (!output_full(exec, p->is_stderr))
		(void)pipe_read(p);
	pipe_watch(p);
	tell(exec);
	check_ended(exec);
}

/* Watches while there is room: a full pipe that hangs up would wake us for ever. */
static void pipe_watch(struct exec_pipe *p)
{
	bool want = p->fd >= 0 && !output_full(p->exec, p->is_stderr);

	if (!want)
		loop_fd_remove(TAKE_PTR(p->source));
	else if (!p->source &&
		 loop_fd_add(p->exec->agent->loop, p->fd, EPOLLIN, on_output, p, &p->source) < 0)
		pipe_close(p); /* no memory to watch it: its output is lost, the exec ends */
}

int exec_ack(struct exec *exec, uint64_t offset)
{
	size_t before = buf_len(&exec->output.bytes);
	int r = output_drop(&exec->output, offset);

	if (r < 0)
		return r;
	exec->agent->output_bytes -= before - buf_len(&exec->output.bytes);
	pipe_watch(&exec->out);
	pipe_watch(&exec->err);
	return 0;
}

/* --- input --- */

static void on_input(void *data, uint32_t events);

/* Gives the program what it takes; watches while there is more. */
static void push_input(struct exec *exec)
{
	while (exec->in_fd >= 0 && buf_len(&exec->in) > 0) {
		ssize_t n = write(exec->in_fd, buf_bytes(&exec->in), buf_len(&exec->in));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			close_input(exec);
		else {
			exec->in_written += (uint64_t)n;
			buf_consume(&exec->in, (size_t)n);
		}
	}
	if (exec->in_fd < 0) { /* nobody reads it: dropped */
		exec->in_written += buf_len(&exec->in);
		buf_consume(&exec->in, buf_len(&exec->in));
	}
	if (exec->in_written > exec->in_received) /* our own end of a terminal's input */
		exec->in_written = exec->in_received;
	if (buf_len(&exec->in) == 0) {
		loop_fd_remove(TAKE_PTR(exec->in_source));
		if (exec->in_end)
			close_input(exec);
	} else if (!exec->in_source && loop_fd_add(exec->agent->loop, exec->in_fd, EPOLLOUT,
						   on_input, exec, &exec->in_source) < 0) {
		close_input(exec);
	}
}

static void on_input(void *data, uint32_t events)
{
	struct exec *exec = data;

	(void)events;
	push_input(exec);
	tell(exec);
}

int exec_input(struct exec *exec, uint64_t offset, const uint8_t *bytes, size_t len)
{
	if (offset > exec->in_received)
		return -EINVAL;
	if (exec->in_received - offset >= len) /* sent again after a break: known */
		return 0;
	if (exec->in_end)
		return -EINVAL;
	bytes += exec->in_received - offset;
	len -= (size_t)(exec->in_received - offset);
	if (buf_append(&exec->in, bytes, len) < 0)
		return -EMSGSIZE;
	exec->in_received += len;
	push_input(exec);
	return 0;
}

void exec_input_end(struct exec *exec)
{
	static const uint8_t eof = TTY_EOF;

	if (exec->in_end)
		return;
	/* A terminal has no end of input but the character for it. */
	if (exec->tty && exec->in_fd >= 0)
		(void)!buf_append(&exec->in, &eof, 1);
	exec->in_end = true;
	push_input(exec);
}

void exec_resize(struct exec *exec, uint16_t rows, uint16_t cols)
{
	struct winsize size = { .ws_row = rows, .ws_col = cols };

	if (exec->tty && exec->out.fd >= 0)
		(void)ioctl(exec->out.fd, TIOCSWINSZ, &size);
}

/* --- begin --- */

int exec_begin(struct exec *exec, uint32_t timeout_ms)
{
	struct agent *agent = exec->agent;
	int r = agent_child_add(agent, exec->pid, on_program_ended, exec);

	if (r < 0)
		return r;
	exec->running = true;
	agent->execs_running++;
	if (timeout_ms > 0)
		loop_timer_set(exec->limit, (int64_t)timeout_ms * 1000);
	pipe_watch(&exec->out);
	pipe_watch(&exec->err);
	return 0;
}
