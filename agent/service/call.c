/* SPDX-License-Identifier: Apache-2.0 */
/* The small calls: clock, shutdown, flush. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/service/service.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

enum {
	POWER_REPLY_MS = 20,   /* for the reply to leave */
	POWER_TERM_MS = 3000,  /* for programs to end on SIGTERM */
	POWER_INIT_MS = 60000, /* for the image's init to shut down */
	POWER_TICK_MS = 20,
};

#define SYSTEMD_MARK "/run/systemd/system"
#define US_PER_S     1000000LL

int agent_refuse_outside(struct error *err)
{
	return error_set(err, ERR_UNSUPPORTED, "this agent does not run in a VM of its own");
}

/* --- clock --- */

static int64_t realtime_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int call_clock(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	struct {
		int64_t realtime_us;
		int64_t adjust_us;
	} said = { .realtime_us = -1 };
	static const struct json_field fields[] = {
		{ "realtime_us", JSON_FIELD_I64, offsetof(__typeof__(said), realtime_us), false },
		{ "adjust_us", JSON_FIELD_I64, offsetof(__typeof__(said), adjust_us), false },
	};
	int64_t before = realtime_us();
	int64_t wanted;
	int r;

	r = body ? json_decode(body, fields, ARRAY_SIZE(fields), &said, err) : 0;
	if (r < 0)
		return r;
	wanted = said.realtime_us;
	if (said.adjust_us && __builtin_add_overflow(realtime_us(), said.adjust_us, &wanted))
		return error_set(err, ERR_INVALID, "adjust_us is out of range");
	if (wanted >= 0 && !agent->in_guest)
		return agent_refuse_outside(err);
	if (wanted >= 0) {
		struct timespec ts = { .tv_sec = wanted / US_PER_S,
				       .tv_nsec = (wanted % US_PER_S) * 1000 };

		if (clock_settime(CLOCK_REALTIME, &ts) < 0)
			return error_errno(err, -errno, "set the clock");
	}
	*ret_reply = json_pack("{s:I, s:I}", "realtime_us", (json_int_t)realtime_us(),
			       "adjusted_us", (json_int_t)(wanted >= 0 ? wanted - before : 0));
	return 0;
}

/* --- shutdown --- */

static void power_now(struct agent *agent)
{
	sync();
	(void)reboot(agent->power_command);
	/* Still here: no right to, or the machine has no such way out. */
	(void)reboot((int)RB_HALT_SYSTEM);
}

/*
 * As process 1 we are the ancestor of every program, so without a child there is none. (kill(-1, 0)
 * would count the kernel's own threads.)
 */
static bool no_program_left(void)
{
	siginfo_t si;

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

/* Waits for programs to end, then kills them and goes. */
static void on_power(void *data)
{
	struct agent *agent = data;
	bool alone = !agent->system_init && no_program_left();

	agent->power_left_ms -= POWER_TICK_MS;
	if (!alone && agent->power_left_ms > 0) {
		loop_timer_set(agent->power_timer, POWER_TICK_MS * 1000);
		return;
	}
	if (!alone && !agent->system_init)
		(void)kill(-1, SIGKILL);
	power_now(agent);
}

/* systemd's own numbers for "reboot" and "power off"; other inits know SIGTERM and SIGUSR2. */
static int init_signal(int command)
{
	bool off = command == RB_POWER_OFF;

	if (access(SYSTEMD_MARK, F_OK) == 0)
		return SIGRTMIN + (off ? 4 : 5);
	return off ? SIGUSR2 : SIGTERM;
}

static void on_power_start(void *data)
{
	struct agent *agent = data;
	bool ask_init = agent->system_init && agent->power_left_ms > 0;

	loop_timer_free(TAKE_PTR(agent->power_timer));
	if (agent->power_left_ms <= 0 ||
	    loop_timer_new(agent->loop, on_power, agent, &agent->power_timer) < 0) {
		power_now(agent);
		return;
	}
	(void)kill(ask_init ? 1 : -1, ask_init ? init_signal(agent->power_command) : SIGTERM);
	loop_timer_set(agent->power_timer, POWER_TICK_MS * 1000);
}

int call_poweroff(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	struct {
		const char *action;
		bool force;
	} wanted = { .action = "reboot" };
	static const struct json_field fields[] = {
		{ "action", JSON_FIELD_STRING, offsetof(__typeof__(wanted), action), false },
		{ "force", JSON_FIELD_BOOL, offsetof(__typeof__(wanted), force), false },
	};
	int r = body ? json_decode(body, fields, ARRAY_SIZE(fields), &wanted, err) : 0;

	(void)ret_reply;
	if (r < 0)
		return r;
	if (!streq(wanted.action, "reboot") && !streq(wanted.action, "poweroff"))
		return error_set(err, ERR_INVALID, "action is neither reboot nor poweroff");
	if (!agent->in_guest)
		return agent_refuse_outside(err);
	agent->power_command = streq(wanted.action, "reboot") ? RB_AUTOBOOT : RB_POWER_OFF;
	agent->power_left_ms = agent->system_init ? POWER_INIT_MS : POWER_TERM_MS;
	if (wanted.force)
		agent->power_left_ms = 0;
	loop_timer_free(TAKE_PTR(agent->power_timer));
	r = loop_timer_new(agent->loop, on_power_start, agent, &agent->power_timer);
	if (r < 0)
		return error_errno(err, r, "set a timer");
	loop_timer_set(agent->power_timer, POWER_REPLY_MS * 1000);
	return 0;
}

void power_done(struct agent *agent)
{
	loop_timer_free(TAKE_PTR(agent->power_timer));
}

/* --- flush: in a process of its own, because it may take long --- */

int call_sync(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	pid_t pid = fork();

	(void)body;
	(void)ret_reply;
	if (pid == 0) {
		sync();
		_exit(0);
	}
	if (pid < 0)
		return error_errno(err, -errno, "make a process");
	agent->reply_after = pid;
	return 0;
}

int call_execs(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	(void)body;
	(void)err;
	*ret_reply = execs_to_json(agent);
	return 0;
}
