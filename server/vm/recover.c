/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "server/vm/vm_internal.h"

enum { TAIL_LINES = 20, TAIL_BYTES = 4096 };

static int run_recover(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	int r = vm_end_process(op, job, 0, VM_STOPPED, "what had failed was cleaned up", err);

	return r < 0 ? r : vm_run_start(op, data, err);
}

int vm_recover(struct vm *vm, const char *who, struct op **ret_op, struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_RECOVER, .force = true, .boot = BOOT_COLD };
	int r = vm_state_allows(vm->state, VM_VERB_RECOVER, vm->row.name, err);

	if (r == 0)
		r = vm_admit(vm, err);
	if (r < 0)
		return r;
	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit_verb(vm, "vm.recover", run_recover, &job, NULL, ret_op, err);
}

/* The last lines, as text that is valid JSON whatever the guest wrote. */
static json_t *last_lines(const char *log, size_t len)
{
	const char *from = log + len;
	json_t *lines = json_array();
	size_t n = 0;

	while (from > log && n <= TAIL_LINES && (size_t)(log + len - from) < TAIL_BYTES) {
		from--;
		if (*from == '\n' && from + 1 < log + len)
			n++;
	}
	if (from < log + len && *from == '\n')
		from++;
	while (from < log + len) {
		const char *end = memchr(from, '\n', (size_t)(log + len - from));
		size_t line_len = (size_t)((end ? end : log + len) - from);
		autofree char *line = strndup(from, line_len);

		/* A serial console speaks ASCII; what is not is a guest's own business. */
		for (char *c = line; c && *c; c++)
			if ((*c < ' ' && *c != '\t') || *c > '~')
				*c = *c == '\r' ? ' ' : '?';
		(void)json_array_append_new(lines, json_string(line ? line : ""));
		from += line_len + 1;
	}
	return lines;
}

static void add_operation(json_t *o, struct op *op)
{
	json_auto_t *view = op_to_json(op);
	const json_t *stages = json_object_get(view, "stages");
	size_t n = json_array_size(stages);

	(void)json_object_set_new(o, "operation", json_string(op_id(op)));
	if (op_get_state(op) != OP_FAILED)
		return;
	(void)json_object_set_new(o, "error", json_string(op_error(op)->msg));
	if (n > 0)
		(void)json_object_set(o, "stage",
				      json_object_get(json_array_get(stages, n - 1), "name"));
}

json_t *vm_diagnosis(struct vm *vm, struct error *err)
{
	autofree char *log = NULL;
	size_t len = 0;
	json_t *o;

	if (vm_console_log(vm, &log, &len, err) < 0)
		return NULL;
	o = json_pack("{s:s, s:s}", "state", vm_state_name(vm->state), "reason", vm->row.reason);
	if (vm->end_reason[0])
		(void)json_object_set_new(o, "vmm_exit", json_string(vm->end_reason));
	if (vm->op)
		add_operation(o, vm->op);
	(void)json_object_set_new(o, "console", last_lines(log, len));
	return o;
}
