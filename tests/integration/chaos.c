/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a copy of the server for the chaos test: tells which stage boundaries are passed, and
 * dies at a chosen one. BANGER_CHAOS_LOG: file that gets a line each; BANGER_CHAOS_AT: "kind
 * stage", BANGER_CHAOS_NTH: which occurrence of it; BANGER_CHAOS_DELAY_MS: how much later.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/ops/op.h"

static const char *crash_at;
static long crash_nth;
static long delay_ms;
static int log_fd = -1;
static long seen;

static void die(void)
{
	(void)kill(getpid(), SIGKILL);
}

static void *die_later(void *data)
{
	struct timespec ts = { .tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000 };

	(void)data;
	(void)nanosleep(&ts, NULL);
	die();
	return NULL;
}

static void on_boundary(const char *kind, const char *stage)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %s\n", kind, stage);
	pthread_t thread;

	if (log_fd >= 0)
		(void)!write(log_fd, line, (size_t)n);
	line[n - 1] = '\0';
	if (!crash_at || strcmp(line, crash_at) != 0 ||
	    __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED) != crash_nth)
		return;
	/* With a delay the work goes on in the meantime. */
	if (delay_ms == 0 || pthread_create(&thread, NULL, die_later, NULL) != 0)
		die();
}

__attribute__((constructor)) static void chaos_begin(void)
{
	const char *path = getenv("BANGER_CHAOS_LOG");
	const char *nth = getenv("BANGER_CHAOS_NTH");
	const char *delay = getenv("BANGER_CHAOS_DELAY_MS");

	crash_at = getenv("BANGER_CHAOS_AT");
	crash_nth = nth ? strtol(nth, NULL, 10) : 1;
	delay_ms = delay ? strtol(delay, NULL, 10) : 0;
	if (path)
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ops_set_boundary(on_boundary);
}
