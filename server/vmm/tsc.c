/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/tsc.h"

#include <pthread.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/vmm/kvm.h"

#if defined(__x86_64__)
#include <x86intrin.h>

enum { SAMPLE_MS = 20, TRIES = 5, CPUINFO_MAX = 4 * 1024 * 1024 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t measured_khz;

struct sample {
	int64_t ns;
	uint64_t ticks;
};

static int64_t raw_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The tightest of a few readings: being interrupted between the two clocks would spoil it. */
static struct sample take(void)
{
	struct sample best = { 0 };
	int64_t best_width = INT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		int64_t before = raw_ns();
		uint64_t ticks = __rdtsc();
		int64_t after = raw_ns();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct sample){ .ns = before + (after - before) / 2,
						.ticks = ticks };
		}
	}
	return best;
}

static void measure(void)
{
	const struct timespec pause = { .tv_nsec = SAMPLE_MS * 1000000L };
	autofree char *cpuinfo = NULL;
	struct sample a;
	struct sample b;

	if (read_file("/proc/cpuinfo", CPUINFO_MAX, &cpuinfo, NULL) < 0 ||
	    !cpuinfo_has_flag(cpuinfo, "constant_tsc"))
		return;
	a = take();
	(void)nanosleep(&pause, NULL);
	b = take();
	if (b.ns > a.ns && b.ticks > a.ticks)
		measured_khz = (uint32_t)((b.ticks - a.ticks) * 1000000 / (uint64_t)(b.ns - a.ns));
}

uint32_t tsc_khz(void)
{
	(void)pthread_once(&once, measure);
	return measured_khz;
}

#else

uint32_t tsc_khz(void)
{
	return 0;
}

#endif
