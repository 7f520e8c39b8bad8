/* SPDX-License-Identifier: Apache-2.0 */
/* /host: what the host has and what VMs take of it. Read on a worker: the memory of many processes
 * takes its time. /host/history: the same over time, from what the sampler keeps. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "server/api/handlers.h"
#include "server/vm/host_stats.h"
#include "server/vm/snapshot.h"
#include "server/vm/stats.h"
#include "server/vm/template.h"
#include "server/vmm/proc_stats.h"

enum { PROC_FILE_MAX = 16 * 1024 };

struct look {
	struct http_request *req; /* NULL: the client has left */
	json_t *result;           /* what the loop knows, then the rest */
	struct proc *procs;       /* of the VMs; copies without descriptors */
	size_t n;
	const struct home *home;
	char *vms_dir;
};

static uint64_t kib_of(const char *text, const char *key)
{
	uint64_t n = 0;

	return text && stats_value(text, key, &n) ? n : 0;
}

static json_t *memory_json(const struct look *l)
{
	autofree char *text = NULL;
	uint64_t rss = 0;
	uint64_t pss = 0;
	uint64_t private = 0;
	size_t len = 0;

	(void)!read_file("/proc/meminfo", PROC_FILE_MAX, &text, &len);
	for (size_t i = 0; i < l->n; i++) {
		struct vmm_stats stats;

		if (proc_stats(&l->procs[i], &stats) < 0)
			continue;
		rss += stats.rss_bytes;
		pss += stats.pss_bytes;
		private += stats.private_bytes;
	}
	/* What VMs share is counted once in the one and for each of them in the other. */
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "total_bytes",
			 (json_int_t)kib_of(text, "MemTotal:") * 1024, "available_bytes",
			 (json_int_t)kib_of(text, "MemAvailable:") * 1024, "vms_bytes",
			 (json_int_t)pss, "vms_private_bytes", (json_int_t) private,
			 "vms_shared_bytes", (json_int_t)(rss > pss ? rss - pss : 0));
}

/* What a folder takes on the disk. */
static json_int_t folder_bytes(const char *path)
{
	char *const roots[] = { (char *)(uintptr_t)path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	json_int_t blocks = 0;
	FTSENT *entry;

	while (tree && (entry = fts_read(tree)) != NULL)
		if (entry->fts_info == FTS_F)
			blocks += entry->fts_statp->st_blocks;
	if (tree)
		(void)fts_close(tree);
	return blocks * 512;
}

static void add_disk(const struct look *l, json_t *disk)
{
	struct statvfs fs;

	(void)json_object_set_new(disk, "cache_bytes", json_integer(folder_bytes(l->home->cache)));
	(void)json_object_set_new(disk, "vms_bytes",
				  json_integer(l->vms_dir ? folder_bytes(l->vms_dir) : 0));
	(void)json_object_set_new(disk, "total_bytes",
				  json_integer(statvfs(l->home->state, &fs) == 0
						       ? (json_int_t)(fs.f_blocks * fs.f_frsize)
						       : 0));
}

static json_t *pressure_json(void)
{
	json_t *o = json_object();

	for (enum host_pressure kind = 0; kind < HOST_PRESSURES; kind++) {
		struct host_waits waits;

		if (host_pressure_read(kind, &waits))
			(void)json_object_set_new(o, host_pressure_names[kind],
						  json_pack("{s:f, s:f}", "avg10", waits.avg10,
							    "avg60", waits.avg60));
	}
	return o;
}

static int run(struct op *op, void *data, struct error *err)
{
	struct look *l = data;
	json_t *memory = json_object_get(l->result, "memory");
	json_auto_t *found = NULL;

	(void)err;
	op_stage(op, "look");
	found = memory_json(l);
	(void)json_object_update(memory, found);
	add_disk(l, json_object_get(l->result, "disk"));
	(void)json_object_set_new(l->result, "pressure", pressure_json());
	return 0;
}

static void done(struct op *op, void *data)
{
	struct look *l = data;

	if (!l->req)
		return;
	http_on_gone(l->req, NULL, NULL);
	if (op_get_state(op) == OP_SUCCEEDED)
		http_reply_json(l->req, 200, json_incref(l->result));
	else
		http_reply_error(l->req, op_error(op), op_id(op));
}

static void look_free(void *data)
{
	struct look *l = data;

	json_decref(l->result);
	free(l->vms_dir);
	free(l->procs);
	free(l);
}

static void forget_client(void *data)
{
	struct look *l = data;

	l->req = NULL;
}

/* --- what the loop knows --- */

static json_t *vms_json(struct api *api, struct look *l)
{
	json_int_t running = 0;

	l->procs = calloc(vms_count(api->vms) + 1, sizeof(*l->procs));
	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm)) {
		const struct vm_row *row = vm_row(vm);

		if (!row->pid)
			continue;
		running++;
		if (l->procs)
			l->procs[l->n++] = (struct proc){ .pid = (pid_t)row->pid,
							  .pidfd = -1,
							  .start_time = (uint64_t)row->start_time };
	}
	return json_pack("{s:I, s:I}", "total", (json_int_t)vms_count(api->vms), "running",
			 running);
}

static json_t *disk_json(struct api *api)
{
	const struct template *t;
	const struct snapshot *s;
	json_int_t images = 0;
	json_int_t templates = 0;
	json_int_t snapshots = 0;
	uint64_t free_mib = 0;

	for (size_t i = 0; i < catalog_n_images(api->catalog); i++)
		images += catalog_image_at(api->catalog, i)->size_bytes;
	for (size_t i = 0; (t = templates_at(api->templates, i)) != NULL; i++)
		templates += t->size_bytes;
	for (size_t i = 0; (s = snapshots_at(api->snapshots, i)) != NULL; i++)
		snapshots += s->size_bytes;
	(void)!vms_disk_free_mib(api->vms, &free_mib);
	return json_pack("{s:I, s:I, s:I, s:I}", "free_bytes", (json_int_t)free_mib << 20,
			 "images_bytes", images, "templates_bytes", templates, "snapshots_bytes",
			 snapshots);
}

void api_host_get(struct http_request *req, void *context)
{
	struct api *api = context;
	struct look *l = calloc(1, sizeof(*l));
	struct op_spec spec = { .kind = "host",
				.run = run,
				.done = done,
				.free_data = look_free,
				.data = l,
				.request_by = http_principal(req) };
	struct error err = ERROR_INIT;
	struct op *op;

	if (!l) {
		(void)error_set(&err, ERR_NO_ROOM, "no memory to look at the host");
		http_reply_error(req, &err, NULL);
		return;
	}
	l->req = req;
	l->home = api->home;
	l->vms_dir = path_join(api->home->state, "vms");
	l->result = json_pack("{s:i, s:{s:I, s:I}, s:o, s:o}", "cpus",
			      (int)sysconf(_SC_NPROCESSORS_ONLN), "memory", "promised_bytes",
			      (json_int_t)vms_memory_promised_mib(api->vms) << 20, "limit_bytes",
			      (json_int_t)vms_memory_limit_mib(api->vms) << 20, "disk",
			      disk_json(api), "vms", vms_json(api, l));
	http_on_gone(req, forget_client, l);
	if (ops_submit(api->ops, &spec, &op, &err) < 0)
		http_reply_error(req, &err, NULL);
}

void api_host_history(struct http_request *req, void *context)
{
	struct api *api = context;

	http_reply_json(req, 200, vms_host_history_json(api->vms, api_query_since_ms(req)));
}
