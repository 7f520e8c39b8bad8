/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {"realtime_us", "uptime_us", "cpus", "cpu_busy_us", "cpu_idle_us": since boot and over all CPUs,
 *  "memory_total_bytes", "memory_available_bytes", "swap_total_bytes", "swap_free_bytes",
 *  "disk_total_bytes", "disk_free_bytes": of the root file system,
 *  "load": [1, 5, 15 minutes], "processes", "execs_running",
 *  "network": [{"name", "rx_bytes", "tx_bytes"}]}
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/service/service.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

enum { PROC_MAX = 256 * 1024, NETWORKS_MAX = 32, CPU_FIELDS = 8, IDLE = 3, IOWAIT = 4 };

static void put(json_t *to, const char *name, uint64_t value)
{
	(void)json_object_set_new(to, name, json_integer((json_int_t)value));
}

/* The fields of the first line: user nice system idle iowait irq softirq steal, in ticks. */
static void add_cpu(json_t *to)
{
	uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	autofree char *text = NULL;
	uint64_t busy = 0;
	uint64_t idle = 0;
	size_t len;
	char *p;

	if (read_file("/proc/stat", PROC_MAX, &text, &len) < 0 || !str_has_prefix(text, "cpu "))
		return;
	p = text + strlen("cpu ");
	for (int i = 0; i < CPU_FIELDS; i++) {
		uint64_t ticks = strtoull(p, &p, 10);

		if (i == IDLE || i == IOWAIT)
			idle += ticks;
		else
			busy += ticks;
	}
	put(to, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	put(to, "cpu_busy_us", busy * tick_us);
	put(to, "cpu_idle_us", idle * tick_us);
}

static void add_memory(json_t *to)
{
	static const struct {
		const char *key;
		const char *name;
	} rows[] = {
		{ "MemTotal:", "memory_total_bytes" },
		{ "MemAvailable:", "memory_available_bytes" },
		{ "SwapTotal:", "swap_total_bytes" },
		{ "SwapFree:", "swap_free_bytes" },
	};
	autofree char *text = NULL;
	size_t len;

	if (read_file("/proc/meminfo", PROC_MAX, &text, &len) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *p = strstr(text, rows[i].key);

		if (p)
			put(to, rows[i].name, strtoull(p + strlen(rows[i].key), NULL, 10) * 1024);
	}
}

static void add_load(json_t *to)
{
	autofree char *text = NULL;
	json_t *load = json_array();
	size_t len;
	char *p;

	if (!load || read_file("/proc/loadavg", PROC_MAX, &text, &len) < 0) {
		json_decref(load);
		return;
	}
	p = text;
	for (int i = 0; i < 3; i++)
		(void)json_array_append_new(load, json_real(strtod(p, &p)));
	(void)json_object_set_new(to, "load", load);
	p = strchr(p, '/');
	if (p)
		put(to, "processes", strtoull(p + 1, NULL, 10));
}

static void add_disk(json_t *to)
{
	struct statvfs st;

	if (statvfs("/", &st) < 0)
		return;
	put(to, "disk_total_bytes", (uint64_t)st.f_blocks * st.f_frsize);
	put(to, "disk_free_bytes", (uint64_t)st.f_bavail * st.f_frsize);
}

/* Lines "  eth0: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes …". */
static void add_network(json_t *to)
{
	autofree char *text = NULL;
	json_t *list = json_array();
	char *save = NULL;
	size_t len;

	if (!list || read_file("/proc/net/dev", PROC_MAX, &text, &len) < 0) {
		json_decref(list);
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name = line + strspn(line, " ");
		char *p = strchr(name, ':');
		uint64_t value[9];

		if (!p || json_array_size(list) == NETWORKS_MAX)
			continue;
		*p++ = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(value); i++)
			value[i] = strtoull(p, &p, 10);
		(void)json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", name,
							    "rx_bytes", (json_int_t)value[0],
							    "tx_bytes", (json_int_t)value[8]));
	}
	(void)json_object_set_new(to, "network", list);
}

int call_stats(struct agent *agent, const json_t *body, json_t **ret_reply, struct error *err)
{
	json_t *to = json_object();
	struct timespec ts;

	(void)body;
	if (!to)
		return error_errno(err, -ENOMEM, "gather figures");
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	put(to, "uptime_us", (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
	add_cpu(to);
	add_memory(to);
	add_disk(to);
	add_load(to);
	add_network(to);
	put(to, "execs_running", agent->execs_running);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	put(to, "realtime_us", (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
	*ret_reply = to;
	return 0;
}
