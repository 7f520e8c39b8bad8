/* SPDX-License-Identifier: Apache-2.0 */
/* vm stats: one line a VM. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "lib/base/cleanup.h"

static void bytes_cell(struct table *table, const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);
	json_int_t kib = json_integer_value(value) >> 10;

	if (value)
		table_cellf(table, "%.1f MiB", (double)kib / 1024);
	else
		table_cell(table, "-");
}

/* What the guest says of itself. */
static void guest_cells(struct table *table, const json_t *guest)
{
	const json_t *load = json_array_get(json_object_get(guest, "load"), 0);
	json_int_t used =
		json_int(guest, "memory_total_bytes") - json_int(guest, "memory_available_bytes");

	if (guest)
		table_cellf(table, "%.1f MiB", (double)(used >> 10) / 1024);
	else
		table_cell(table, "-");
	if (load)
		table_cellf(table, "%.2f", json_number_value(load));
	else
		table_cell(table, "-");
}

static void print_line(struct table *table, const char *name, const json_t *stats)
{
	const json_t *now = json_object_get(stats, "now");
	const json_t *cpu = json_object_get(now, "cpu");

	table_cell(table, name);
	if (cpu)
		table_cellf(table, "%.0f%%", json_number_value(cpu) * 100);
	else
		table_cell(table, "-");
	bytes_cell(table, now, "memory_pss_bytes");
	bytes_cell(table, now, "memory_private_bytes");
	bytes_cell(table, json_object_get(stats, "peak"), "memory_pss_bytes");
	bytes_cell(table, now, "disk_used_bytes");
	bytes_cell(table, now, "disk_read_bytes");
	bytes_cell(table, now, "disk_written_bytes");
	guest_cells(table, json_object_get(stats, "guest"));
}

/* Asks for one VM; NULL with *ret_status set when that failed. */
static json_t *ask(struct cli *cli, const char *vm, int *ret_status)
{
	struct client_reply reply CLEANUP(client_reply_done) = { 0 };
	autofree char *escaped = client_escape(vm);
	autofree char *path = NULL;
	struct client_request request = { .method = "GET" };

	if (!escaped || asprintf(&path, "/vms/%s/stats?guest=true", escaped) < 0) {
		*ret_status = EXIT_FAILED;
		return NULL;
	}
	request.path = path;
	return cli_request(cli, &request, &reply, ret_status) ? json_incref(reply.json) : NULL;
}

int cmd_vm_stats(struct cli *cli, const struct args *args)
{
	struct table table CLEANUP(table_done) = { 0 };
	json_auto_t *list = NULL, *all = json_object();
	size_t n = args->n_positional;
	int status = cli_connect(cli, args);
	int worst = 0;

	table_init(&table, "NAME", "CPU", "MEMORY", "PRIVATE", "PEAK", "DISK", "READ", "WRITTEN",
		   "IN GUEST", "LOAD", NULL);
	if (!status && n == 0) {
		list = cli_list(cli, "/vms", "&state=running", &status);
		n = json_array_size(list);
	}
	if (status)
		return status;
	for (size_t i = 0; i < n; i++) {
		const char *vm =
			list ? json_str(json_array_get(list, i), "name") : args->positional[i];
		json_t *stats = ask(cli, vm, &status);

		worst = status > worst ? status : worst;
		if (!stats)
			continue;
		print_line(&table, vm, stats);
		(void)json_object_set_new(all, vm, stats);
	}
	if (cli->json)
		return print_json(all) != 0 ? EXIT_FAILED : worst;
	table_print(&table, stdout, cli->colour);
	return worst;
}
