/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child runs on a stack of its own in our memory while we stand still, so it may only make
 * system calls and must not touch anything but its request: library functions with state (setuid
 * of a program with threads, malloc, stdio) are out.
 */
#include "agent/service/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHILD_STACK = 64 * 1024 };

struct request {
	const struct spawn_spec *spec;
	enum spawn_stage stage;
	int error; /* positive errno */
};

static void take_user(const struct user *user)
{
	(void)(syscall(SYS_setgroups, user->n_groups, user->groups) < 0 ||
	       syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
	       syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0);
}

static bool take_session(const struct spawn_spec *spec)
{
	if (setsid() < 0 || dup2(spec->in, STDIN_FILENO) < 0 ||
	    dup2(spec->out, STDOUT_FILENO) < 0 || dup2(spec->err, STDERR_FILENO) < 0)
		return false;
	return !spec->tty || ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0;
}

static void run_program(struct request *req)
{
	const struct spawn_spec *spec = req->spec;
	/* execve(2) changes neither; its type just lacks the const. */
	char *const *argv = (char *const *)(uintptr_t)spec->argv;
	char *const *env = (char *const *)(uintptr_t)spec->env;
	int error = ENOENT;

	for (const char *const *path = spec->paths; *path; path++) {
		/* An execve(2) that fails costs the kernel a new address space: ask first. */
		if (path[1] && access(*path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
			continue;
		(void)execve(*path, argv, env);
		if (errno == EACCES)
			error = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR) {
			error = errno;
			break;
		}
	}
	errno = error;
}

__attribute__((no_sanitize("address", "undefined"))) static int child_main(void *data)
{
	struct request *req = data;
	const struct spawn_spec *spec = req->spec;
	struct sigaction defaults = { .sa_handler = SIG_DFL };
	sigset_t none;

	(void)sigaction(SIGPIPE, &defaults, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(022);

	req->stage = SPAWN_SESSION;
	if (take_session(spec)) {
		errno = 0;
		req->stage = SPAWN_USER;
		if (spec->change_user)
			take_user(spec->user);
		if (errno == 0) {
			req->stage = SPAWN_CWD;
			if (chdir(spec->cwd) == 0) {
				req->stage = SPAWN_EXEC;
				run_program(req);
			}
		}
	}
	req->error = errno;
	_exit(127);
}

pid_t spawn_program(const struct spawn_spec *spec, enum spawn_stage *ret_stage)
{
	static char stack[CHILD_STACK] __attribute__((aligned(64)));
	struct request req = { .spec = spec };
	sigset_t all;
	sigset_t old;
	pid_t pid;
	int error;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &req);
	error = errno;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	*ret_stage = req.stage;
	if (pid < 0)
		return -error;
	/* A child that failed has ended and is reaped with the others. */
	return req.error ? -req.error : pid;
}
