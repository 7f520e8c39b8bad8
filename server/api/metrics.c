/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics: what the server counts, in the text form that Prometheus reads. Nothing here asks the
 * guests or blocks. */
#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "server/api/handlers.h"
#include "server/run/run.h"
#include "server/store/store.h"
#include "server/vm/stats.h"
#include "server/vm/template.h"

enum { TEXT_MAX = 256 * 1024 };

/* What does not fit any more is left out. */
static void sample(struct buf *b, const char *name, double value)
{
	(void)!buf_printf(b, "%s %.15g\n", name, value);
}

static void count(struct buf *b, const char *name, uint64_t value)
{
	(void)!buf_printf(b, "%s %" PRIu64 "\n", name, value);
}

static void sample_with(struct buf *b, const char *name, const char *label, const char *of,
			double value)
{
	(void)!buf_printf(b, "%s{%s=\"%s\"} %.15g\n", name, label, of, value);
}

typedef void fill_fn(struct api *api, struct buf *b, const char *name);

static void build_info(struct api *api, struct buf *b, const char *name)
{
	(void)!buf_printf(b, "%s{version=\"%s\",vmm=\"%s\",accel=\"%s\"} 1\n", name, BANGER_VERSION,
			  api->driver ? api->driver->name : "none",
			  vmm_accel_name(api->probe->accel));
}

static void vms_by_state(struct api *api, struct buf *b, const char *name)
{
	unsigned int count[VM_STATE_MAX_] = { 0 };

	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm))
		count[vm_get_state(vm)]++;
	for (unsigned int i = 0; i < VM_STATE_MAX_; i++)
		sample_with(b, name, "state", vm_state_name((enum vm_state)i), count[i]);
}

static void per_vm_net(struct api *api, struct buf *b, const char *name, size_t offset)
{
	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm)) {
		struct net_counters counters;
		uint64_t value;

		if (!vm_net_counters(vm, &counters))
			continue;
		memcpy(&value, (const char *)&counters + offset, sizeof(value));
		(void)!buf_printf(b, "%s{vm=\"%s\"} %" PRIu64 "\n", name, vm_row(vm)->name, value);
	}
}

#define PER_VM_NET(field)                                                         \
	static void net_##field(struct api *api, struct buf *b, const char *name) \
	{                                                                         \
		per_vm_net(api, b, name, offsetof(struct net_counters, field));   \
	}
PER_VM_NET(rx_bytes)
PER_VM_NET(rx_packets)
PER_VM_NET(tx_bytes)
PER_VM_NET(tx_packets)

static void runs_by_state(struct api *api, struct buf *b, const char *name)
{
	unsigned int queued;
	unsigned int running;

	runs_count(api->runs, &queued, &running);
	sample_with(b, name, "state", "queued", queued);
	sample_with(b, name, "state", "running", running);
}

static void count_op(struct op *op, void *data)
{
	unsigned int *count = data;

	count[op_get_state(op)]++;
}

static void operations_by_state(struct api *api, struct buf *b, const char *name)
{
	unsigned int count[OP_STATE_MAX_] = { 0 };

	ops_each(api->ops, count_op, count);
	for (unsigned int i = 0; i <= OP_RUNNING; i++)
		sample_with(b, name, "state", op_state_name((enum op_state)i), count[i]);
}

static void memory_promised(struct api *api, struct buf *b, const char *name)
{
	count(b, name, vms_memory_promised_mib(api->vms) << 20);
}

static void memory_limit(struct api *api, struct buf *b, const char *name)
{
	count(b, name, vms_memory_limit_mib(api->vms) << 20);
}

static void disk_free(struct api *api, struct buf *b, const char *name)
{
	uint64_t mib = 0;

	if (vms_disk_free_mib(api->vms, &mib) == 0)
		count(b, name, mib << 20);
}

static void images(struct api *api, struct buf *b, const char *name)
{
	count(b, name, catalog_n_images(api->catalog));
}

static void template_bytes(struct api *api, struct buf *b, const char *name)
{
	const struct template *one;
	int64_t sum = 0;

	for (size_t i = 0; (one = templates_at(api->templates, i)) != NULL; i++)
		sum += one->size_bytes;
	count(b, name, (uint64_t)sum);
}

static void events(struct api *api, struct buf *b, const char *name)
{
	count(b, name, (uint64_t)events_last(api->events));
}

static void store_write_times(struct api *api, struct buf *b, const char *name)
{
	const struct store_writes *w = store_writes(api->store);
	uint64_t so_far = 0;

	for (size_t i = 0; i < STORE_BOUNDS; i++) {
		so_far += w->within[i];
		(void)!buf_printf(b, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
				  (double)store_bounds_us[i] / 1e6, so_far);
	}
	(void)!buf_printf(b,
			  "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
			  name, w->count, name, (double)w->sum_us / 1e6, name, w->count);
}

static void requests(struct api *api, struct buf *b, const char *name)
{
	const struct http_counts *counts = http_server_counts(api->http);

	for (size_t i = 0; i < ARRAY_SIZE(counts->replies); i++) {
		char code[4] = { (char)('1' + i), 'x', 'x', '\0' };

		sample_with(b, name, "code", code, (double)counts->replies[i]);
	}
}

static void connections(struct api *api, struct buf *b, const char *name)
{
	count(b, name, http_server_counts(api->http)->connections);
}

static void cpu_seconds(struct api *api, struct buf *b, const char *name)
{
	struct rusage u;

	(void)api;
	if (getrusage(RUSAGE_SELF, &u) == 0)
		sample(b, name,
		       (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

static void resident_bytes(struct api *api, struct buf *b, const char *name)
{
	char *text = NULL;
	size_t len = 0;
	unsigned long long pages = 0;
	char *space;

	(void)api;
	if (read_file("/proc/self/statm", 256, &text, &len) < 0)
		return;
	space = strchr(text, ' ');
	if (space)
		pages = strtoull(space + 1, NULL, 10);
	free(text);
	count(b, name, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void open_fds(struct api *api, struct buf *b, const char *name)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the folder itself */

	(void)api;
	if (!dir)
		return;
	while (readdir(dir)) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		n++;
	(void)closedir(dir);
	count(b, name, (uint64_t)n);
}

static const struct {
	const char *name;
	const char *type;
	const char *help;
	fill_fn *fill;
} metrics[] = {
	{ "banger_build_info", "gauge", "Version, and what runs the VMs.", build_info },
	{ "banger_vms", "gauge", "VMs by state.", vms_by_state },
	{ "banger_runs", "gauge", "Runs that have not ended.", runs_by_state },
	{ "banger_operations", "gauge", "Operations that have not ended.", operations_by_state },
	{ "banger_memory_promised_bytes", "gauge", "Memory of the VMs that have a process.",
	  memory_promised },
	{ "banger_memory_limit_bytes", "gauge", "Memory that may be promised.", memory_limit },
	{ "banger_disk_free_bytes", "gauge", "Room where the disks of VMs are.", disk_free },
	{ "banger_images", "gauge", "Images.", images },
	{ "banger_template_bytes", "gauge", "Warm templates on the disk.", template_bytes },
	{ "banger_vm_network_receive_bytes_total", "counter",
	  "Received by the guest since its VMM's start.", net_rx_bytes },
	{ "banger_vm_network_receive_packets_total", "counter",
	  "Received by the guest since its VMM's start.", net_rx_packets },
	{ "banger_vm_network_transmit_bytes_total", "counter",
	  "Sent by the guest since its VMM's start.", net_tx_bytes },
	{ "banger_vm_network_transmit_packets_total", "counter",
	  "Sent by the guest since its VMM's start.", net_tx_packets },
	{ "banger_events_total", "counter", "Events since the first start.", events },
	{ "banger_store_write_seconds", "histogram", "How long changes of the database took.",
	  store_write_times },
	{ "banger_http_replies_total", "counter", "Replies by class of status.", requests },
	{ "banger_http_connections", "gauge", "Connections of clients.", connections },
	{ "process_cpu_seconds_total", "counter", "Processor time of the server.", cpu_seconds },
	{ "process_resident_memory_bytes", "gauge", "Memory of the server.", resident_bytes },
	{ "process_open_fds", "gauge", "Descriptors of the server.", open_fds },
};

void api_metrics(struct http_request *req, void *context)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		(void)!buf_printf(&b, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name,
				  metrics[i].help, metrics[i].name, metrics[i].type);
		metrics[i].fill(context, &b, metrics[i].name);
	}
	http_reply_bytes(req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&b),
			 buf_len(&b));
	buf_done(&b);
}
