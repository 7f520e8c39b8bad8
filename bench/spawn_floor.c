/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for running a program in a guest: vfork, exec and wait of the same binary, in a loop.
 * Prints the median in microseconds. Linked statically, so that it runs in any guest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 60 };

static long now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
	long x = *(const long *)a;
	long y = *(const long *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static char *env[] = { NULL };
	long us[RUNS];

	if (argc < 2)
		return 2;
	for (int i = 0; i < RUNS; i++) {
		long start = now_us();
		/* What is measured is this very call.
		 * NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork) */
		pid_t pid = vfork();

		if (pid == 0) {
			(void)execve(argv[1], argv + 1, env);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return 1;
		us[i] = now_us() - start;
	}
	qsort(us, RUNS, sizeof(us[0]), by_size);
	(void)printf("%ld\n", us[RUNS / 2]);
	return 0;
}
