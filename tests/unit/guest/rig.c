/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/guest/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/link/protocol.h"

enum { TICK_US = 1000, OUT_MAX = 64 * 1024 * 1024 };

static int rig_open(void *data)
{
	struct rig *rig = data;
	int fds[2];

	rig->opens++;
	if (rig->unplugged)
		return -ECONNREFUSED;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	if (rig->no_agent) {
		close_keep_errno(rig->peer);
		rig->peer = fds[1];
	} else {
		assert_int_equal(agent_link_add(&rig->agent, fds[1], false), 0);
	}
	return fds[0];
}

static void rig_up(void *data, const struct guest_info *info)
{
	struct rig *rig = data;

	rig->up++;
	rig->info = *info;
}

static void rig_down(void *data, const struct error *why)
{
	struct rig *rig = data;

	assert_int_equal(why->code, ERR_GUEST);
	rig->down++;
}

static void on_child(void *data, uint32_t events)
{
	struct rig *rig = data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(rig->signal_fd, &info, sizeof(info)) > 0)
		;
	agent_reap(&rig->agent);
}

static void on_tick(void *data)
{
	struct rig *rig = data;

	if (rig->until(rig->until_data))
		loop_stop(rig->loop);
	else
		loop_timer_set(rig->tick, TICK_US);
}

static void start(struct rig *rig, bool no_agent)
{
	static const struct guest_callbacks callbacks = { rig_open, rig_up, rig_down };
	sigset_t set;

	*rig = (struct rig){ .no_agent = no_agent, .peer = -1 };
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_new(&rig->loop), 0);
	assert_int_equal(agent_init(&rig->agent, rig->loop), 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	rig->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	assert_true(rig->signal_fd >= 0);
	assert_int_equal(
		loop_fd_add(rig->loop, rig->signal_fd, EPOLLIN, on_child, rig, &rig->signal_source),
		0);
	assert_int_equal(loop_timer_new(rig->loop, on_tick, rig, &rig->tick), 0);
	assert_int_equal(guest_new(rig->loop, &callbacks, rig, &rig->guest), 0);
}

void rig_start(struct rig *rig)
{
	start(rig, false);
	rig_wait_up(rig, 1);
}

void rig_start_alone(struct rig *rig)
{
	start(rig, true);
}

void rig_stop(struct rig *rig)
{
	guest_free(rig->guest);
	agent_done(&rig->agent);
	loop_fd_remove(rig->signal_source);
	close_keep_errno(rig->signal_fd);
	close_keep_errno(rig->peer);
	loop_timer_free(rig->tick);
	loop_free(rig->loop);
}

void rig_run(struct rig *rig, bool (*until)(void *data), void *data)
{
	rig->until = until;
	rig->until_data = data;
	loop_timer_set(rig->tick, 0);
	assert_int_equal(loop_run(rig->loop), 0);
	loop_timer_clear(rig->tick);
}

struct count_wait {
	const int *count;
	int n;
};

static bool is_reached(void *data)
{
	const struct count_wait *wait = data;

	return *wait->count >= wait->n;
}

static void wait_count(struct rig *rig, const int *count, int n)
{
	struct count_wait wait = { count, n };

	rig_run(rig, is_reached, &wait);
}

void rig_wait_up(struct rig *rig, int n)
{
	wait_count(rig, &rig->up, n);
}

void rig_wait_down(struct rig *rig, int n)
{
	wait_count(rig, &rig->down, n);
}

void rig_wait_open(struct rig *rig, int n)
{
	wait_count(rig, &rig->opens, n);
}

void rig_break(struct rig *rig)
{
	struct agent rest = rig->agent;

	/* The agent's links go, its execs stay: what a broken connection does. */
	while (rig->agent.links)
		agent_link_drop(&rig->agent);
	assert_ptr_equal(rest.execs, rig->agent.execs);
}

struct peer_read {
	struct rig *rig;
	char *to;
	size_t size;
	size_t len;
	const char *text;
};

static bool peer_has(void *data)
{
	struct peer_read *p = data;
	ssize_t n =
		p->rig->peer < 0 ? -1 : read(p->rig->peer, p->to + p->len, p->size - 1 - p->len);

	if (n > 0)
		p->len += (size_t)n;
	p->to[p->len] = '\0';
	return memmem(p->to, p->len, p->text, strlen(p->text)) != NULL;
}

size_t rig_peer_read(struct rig *rig, char *to, size_t size, const char *text)
{
	struct peer_read p = { rig, to, size, 0, text };

	rig_run(rig, peer_has, &p);
	return p.len;
}

void rig_peer_answer(struct rig *rig, const char *hello)
{
	static char text[64 * 1024];
	char line[1024];
	const char *nonce;
	int n;

	(void)rig_peer_read(rig, text, sizeof(text), LINK_HELLO);
	nonce = strstr(text, LINK_HELLO);
	while (strlen(nonce) < strlen(LINK_HELLO) + LINK_NONCE_LEN + 1) {
		size_t len = strlen(text);

		(void)rig_peer_read(rig, text + len, sizeof(text) - len, "\n");
	}
	nonce += strlen(LINK_HELLO);
	n = snprintf(line, sizeof(line), LINK_HELLO_OK "%.32s %s\n", nonce, hello);
	assert_int_equal(write(rig->peer, line, (size_t)n), n);
}

/* --- execs --- */

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	struct ran *ran = data;

	assert_false(ran->paused);
	if (is_stderr) {
		assert_true(ran->err_len + len < sizeof(ran->err));
		memcpy(ran->err + ran->err_len, bytes, len);
		ran->err_len += len;
		return true;
	}
	assert_true(ran->out_len + len < OUT_MAX);
	ran->out = realloc(ran->out, ran->out_len + len + 1);
	assert_non_null(ran->out);
	memcpy(ran->out + ran->out_len, bytes, len);
	ran->out_len += len;
	ran->out[ran->out_len] = '\0';
	ran->since_pause += len;
	if (ran->keep && ran->since_pause >= ran->keep) {
		ran->since_pause = 0;
		ran->paused = true;
		ran->pauses++;
		return false;
	}
	return true;
}

static void on_writable(void *data)
{
	struct ran *ran = data;
	size_t n = guest_exec_write(ran->exec, ran->input, ran->input_left);

	ran->input += n;
	ran->input_left -= n;
	if (ran->input_left == 0)
		guest_exec_close_stdin(ran->exec);
}

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct ran *ran = data;

	assert_false(ran->ended);
	ran->ended = true;
	ran->end = *end;
	ran->exec = NULL;
}

const struct guest_exec_callbacks ran_callbacks = { .output = on_output,
						    .writable = on_writable,
						    .end = on_end };

void ran_start_spec(struct rig *rig, struct ran *ran, const char *id,
		    const struct guest_exec_spec *spec)
{
	struct error err = ERROR_INIT;

	ran->rig = rig;
	assert_int_equal(
		guest_exec_start(rig->guest, id, spec, &ran_callbacks, ran, &ran->exec, &err), 0);
	if (ran->input)
		on_writable(ran);
}

void ran_start(struct rig *rig, struct ran *ran, const char *id, const char *script)
{
	json_auto_t *argv = json_pack("[s, s, s]", "/bin/sh", "-c", script);
	const struct guest_exec_spec spec = { .argv = argv, .stdin_open = ran->input != NULL };

	ran_start_spec(rig, ran, id, &spec);
}

bool ran_ended(void *data)
{
	struct ran *ran = data;

	if (ran->paused && ran->exec) {
		ran->paused = false;
		guest_exec_resume(ran->exec);
	}
	return ran->ended;
}

void ran_done(struct ran *ran)
{
	free(ran->out);
}
