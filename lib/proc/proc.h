/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: the one place that makes any. No shell, absolute program paths, a fixed environment,
 * all other descriptors closed, standard streams on /dev/null unless given. exec without fork in
 * between (posix_spawn(3)), so it is safe in a program with threads.
 *
 * proc_set_spawn_hook() is the test seam: it sees each request in place of the kernel.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

/* A process that can't be confused with a later one of the same number. */
struct proc {
	pid_t pid;           /* 0: none */
	int pidfd;           /* -1: none; readable once the process has ended */
	uint64_t start_time; /* clock ticks since boot, field 22 of /proc/<pid>/stat */
};

#define PROC_INIT ((struct proc){ .pid = 0, .pidfd = -1 })

struct proc_fd {
	int ours;   /* descriptor in this process */
	int theirs; /* its number in the child, from 3 on */
};

struct proc_spec {
	const char *const *argv; /* argv[0] is an absolute path; ended by NULL */
	const char *const *env;  /* ended by NULL; NULL: PATH, LANG=C.UTF-8, HOME=/ */
	int stdin_fd;            /* -1: /dev/null; likewise the next two */
	int stdout_fd;
	int stderr_fd;
	const struct proc_fd *fds; /* more descriptors for the child */
	size_t n_fds;
	bool new_session; /* setsid(2): survives us, gets no terminal signals */
};

#define PROC_SPEC_INIT ((struct proc_spec){ .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 })

/* Starts a program. The caller owns ret_proc: proc_done() or a hand-over. */
int proc_spawn(const struct proc_spec *spec, struct proc *ret_proc, struct error *err) MUST_USE;

/* Pins a running process: -ESRCH when it is gone or `start_time` (0: any) does not fit. Need not be
 * a child. */
int proc_adopt(pid_t pid, uint64_t start_time, struct proc *ret_proc) MUST_USE;

/* Sends a signal through the pidfd. -ESRCH when the process has ended. */
int proc_signal(const struct proc *proc, int sig);

/*
 * Waits for the end, at most `timeout_ms` (-1: no limit) or until `cancel_fd` (-1: none) becomes
 * readable. A child is reaped and *ret_status is its wait status; of a process that is no child the
 * status is -1. Returns 0, -ETIMEDOUT or -ECANCELED.
 */
int proc_wait(const struct proc *proc, int timeout_ms, int cancel_fd, int *ret_status);

/* Closes the pidfd; the process goes on. */
void proc_done(struct proc *proc);

/* Kills (SIGKILL), reaps and closes. For clean-up of a scope: CLEANUP(proc_kill_p). */
void proc_kill(struct proc *proc);
static inline void proc_kill_p(struct proc *proc)
{
	proc_kill(proc);
}

/* Runs to the end. Output is kept up to a limit; more is read and dropped. */
struct proc_run {
	const void *input; /* written to standard input; NULL: /dev/null */
	size_t input_len;
	size_t output_max; /* bytes of standard output kept; 0: 64 KiB */
	int timeout_ms;    /* the process is killed then; 0: 60 s */
	int cancel_fd;     /* -1: none. Set it: 0 is a descriptor. */
};

#define PROC_RUN_INIT ((struct proc_run){ .cancel_fd = -1 })

struct proc_result {
	int status; /* as of waitpid(2) */
	char *out;  /* standard output and a NUL; never NULL on success */
	size_t out_len;
	char err[2048]; /* the last bytes of standard error and a NUL */
};

/* 0 when the program ran, whatever its exit status; proc_result_done() then. */
int proc_run(const struct proc_spec *spec, const struct proc_run *run,
	     struct proc_result *ret_result, struct error *err) MUST_USE;
void proc_result_done(struct proc_result *result);

/* Like proc_run(), and an exit status other than 0 is an error that quotes the last line of
 * standard error. */
int proc_run_ok(const struct proc_spec *spec, const struct proc_run *run,
		struct error *err) MUST_USE;

/* "exit status 3", "killed by SIGKILL"; `buf` of at least 64 bytes. Returns buf. */
char *proc_status_format(int status, char *buf, size_t size);

/* Absolute path of an executable in PATH's usual system folders, or NULL. The caller frees. */
char *proc_find_program(const char *name);

/* Field 22 of /proc/<pid>/stat; 0 when the process is not there. */
uint64_t proc_start_time(pid_t pid);

typedef int proc_spawn_hook(const struct proc_spec *spec, struct proc *ret_proc, struct error *err);
/* Tests only: NULL goes back to the kernel. */
void proc_set_spawn_hook(proc_spawn_hook *hook);
