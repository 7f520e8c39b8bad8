/* SPDX-License-Identifier: Apache-2.0 */
/* /vms, /vms/{vm} and the verbs that lead from one state to another. */
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/watch.h"
#include "server/vm/recover.h"
#include "server/vm/snapshot.h"

void api_reply_vm(struct http_request *req, struct api *api, const char *id, int status)
{
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, id, &vm, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		http_reply_json(req, status, vm_to_json(vm));
}

static void changed(struct http_request *req, struct api *api, const char *id)
{
	api_reply_vm(req, api, id, 200);
}

static void gone(struct http_request *req, struct api *api, const char *id)
{
	(void)api;
	(void)id;
	http_reply_empty(req, 204);
}

/* --- look --- */

static bool matches(const struct http_request *req, const struct vm *vm)
{
	const char *state = http_query(req, "state");
	const char *name = http_query(req, "name");
	const struct vm_row *row = vm_row(vm);
	json_auto_t *labels = NULL;

	if (state && !streq(state, vm_state_name(vm_get_state(vm))))
		return false;
	if (name && fnmatch(name, row->name, 0) != 0)
		return false;
	if (row->since_ms < api_query_since(req))
		return false;
	if (!http_query(req, "label") && !http_query(req, "label_prefix"))
		return true;
	labels = json_loads(row->labels, 0, NULL);
	return api_labels_match(req, labels);
}

/* What VMs can be sorted by: a text that sorts as the value does. */
static void sort_key(const struct vm *vm, const char *by, char *key, size_t size)
{
	const struct vm_row *row = vm_row(vm);

	if (streq(by, "name"))
		(void)snprintf(key, size, "%s", row->name);
	else if (streq(by, "state"))
		(void)snprintf(key, size, "%s", vm_state_name(vm_get_state(vm)));
	else if (streq(by, "image"))
		(void)snprintf(key, size, "%.100s", row->image_name);
	else if (streq(by, "memory_mib"))
		(void)snprintf(key, size, "%020lld", (long long)row->memory_mib);
	else if (streq(by, "since"))
		(void)snprintf(key, size, "%020lld", (long long)row->since_ms);
	else
		(void)snprintf(key, size, "%020lld", (long long)row->created_ms);
}

enum { SORT_KEY_MAX = 128 };

struct sorted {
	struct vm *vm;
	char key[SORT_KEY_MAX + ID_LEN +
		 2]; /* "<id>.<value>" is the cursor; ordered by value, then id */
};

static int compare(const struct sorted *a, const struct sorted *b)
{
	int r = strcmp(a->key + ID_LEN + 1, b->key + ID_LEN + 1);

	return r ? r : strncmp(a->key, b->key, ID_LEN);
}

static int ascending(const void *a, const void *b)
{
	return compare(a, b);
}

static int descending(const void *a, const void *b)
{
	return compare(b, a);
}

/* Those that match, in the order asked for, oldest first without. The caller frees. */
static struct sorted *collect(const struct http_request *req, struct api *api, size_t *ret_n)
{
	const char *sort = http_query(req, "sort");
	bool down = sort && sort[0] == '-';
	struct sorted *list = calloc(vms_count(api->vms) + 1, sizeof(*list));
	size_t n = 0;

	for (struct vm *vm = vms_next(api->vms, NULL); list && vm; vm = vms_next(api->vms, vm)) {
		char value[SORT_KEY_MAX];

		if (!matches(req, vm))
			continue;
		sort_key(vm, sort ? sort + down : "created", value, sizeof(value));
		list[n].vm = vm;
		(void)snprintf(list[n].key, sizeof(list[n].key), "%s.%s", vm_row(vm)->id, value);
		n++;
	}
	if (list && sort)
		qsort(list, n, sizeof(*list), down ? descending : ascending);
	*ret_n = n;
	return list;
}

/* Where the page behind the cursor begins. */
static size_t find_page(const struct http_request *req, const struct sorted *list, size_t n)
{
	const char *cursor = http_query(req, "cursor");
	const char *sort = http_query(req, "sort");
	bool down = sort && sort[0] == '-';
	struct sorted last = { 0 };
	size_t i = 0;

	if (!cursor || strlen(cursor) < ID_LEN + 1)
		return 0;
	(void)snprintf(last.key, sizeof(last.key), "%s", cursor);
	/* Those that were created need not be in order: the clock may have been set back. */
	for (size_t k = 0; k < n; k++)
		if (streq(list[k].key, last.key))
			return k + 1;
	while (i < n && (down ? compare(&last, &list[i]) : compare(&list[i], &last)) <= 0)
		i++;
	return i;
}

static void reply_page(struct http_request *req, struct api *api)
{
	size_t limit = (size_t)api_query_number(req, "limit", 100);
	uint64_t version = vms_version(api->vms);
	bool keep = true;
	size_t n = 0;
	autofree struct sorted *list = NULL;
	struct api_page page;
	size_t i;

	if (api_page_again(req, api, version))
		return;
	list = collect(req, api, &n);
	api_page_begin(&page, req);
	for (i = list ? find_page(req, list, n) : 0; i < n && page.n < limit; i++) {
		api_page_add(&page, vm_to_json(list[i].vm));
		keep = keep && !vm_is_changing(list[i].vm);
	}
	api_page_reply(&page, api, i < n && i > 0 ? list[i - 1].key : NULL, keep, version);
}

static json_t *find_view(const struct http_request *req, struct api *api, const char *id)
{
	struct vm *vm = vms_find(api->vms, id);

	return vm && matches(req, vm) ? vm_to_json(vm) : NULL;
}

static void each_view(const struct http_request *req, struct api *api, api_watch_fn *fn, void *data)
{
	for (struct vm *vm = vms_next(api->vms, NULL); vm; vm = vms_next(api->vms, vm))
		if (matches(req, vm))
			fn(vm_to_json(vm), data);
}

static const struct api_watch_kind watch_kind = {
	.prefix = "vm.", .gone = "vm.deleted", .find = find_view, .each = each_view
};

void api_vm_list(struct http_request *req, void *context)
{
	if (!api_watch(req, context, &watch_kind))
		reply_page(req, context);
}

void api_vm_get(struct http_request *req, void *context)
{
	struct api *api = context;
	uint64_t version = vms_version(api->vms);
	struct vm *vm = NULL;
	struct error err;

	if (api_view_again(req, api, version))
		return;
	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0)
		http_reply_error(req, &err, NULL);
	else
		api_view_reply(req, api, vm_to_json(vm), !vm_is_changing(vm), version);
}

/* --- verbs --- */

typedef int verb_fn(struct vm *vm, const char *who, struct op **ret_op, struct error *err);

/* `op` is good when `r` is not negative, else *err. */
static void reply_to_verb(struct http_request *req, struct api *api, int r, struct op *op,
			  api_done_fn *done, const struct error *err)
{
	char location[64];

	if (r < 0) {
		http_reply_error(req, err, NULL);
		return;
	}
	(void)snprintf(location, sizeof(location), "/operations/%s", op_id(op));
	api_reply_when_done(req, api, op, done, op_target(op), location);
}

static void run_verb(struct http_request *req, struct api *api, verb_fn *verb, api_done_fn *done)
{
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = verb(vm, http_principal(req), &op, &err);
	reply_to_verb(req, api, r, op, done, &err);
}

void api_vm_start(struct http_request *req, void *context)
{
	run_verb(req, context, vm_start, changed);
}

void api_vm_stop(struct http_request *req, void *context)
{
	run_verb(req, context, vm_stop, changed);
}

void api_vm_restart(struct http_request *req, void *context)
{
	run_verb(req, context, vm_restart, changed);
}

/* The words of the document. */
int api_signal_of(const char *word)
{
	static const struct {
		const char *word;
		int signo;
	} rows[] = { { "TERM", SIGTERM }, { "INT", SIGINT },   { "HUP", SIGHUP },
		     { "QUIT", SIGQUIT }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
		     { "ABRT", SIGABRT }, { "KILL", SIGKILL } };

	for (size_t i = 0; word && i < ARRAY_SIZE(rows); i++)
		if (streq(rows[i].word, word))
			return rows[i].signo;
	return SIGKILL;
}

void api_vm_kill(struct http_request *req, void *context)
{
	struct api *api = context;
	int signo = api_signal_of(http_query(req, "signal"));
	struct vm *vm = NULL;
	struct op *op = NULL;
	struct error err;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);

	if (r == 0)
		r = vm_kill_by(vm, signo, http_principal(req), &op, &err);
	reply_to_verb(req, api, r, op, changed, &err);
}

void api_vm_pause(struct http_request *req, void *context)
{
	run_verb(req, context, vm_pause, changed);
}

void api_vm_resume(struct http_request *req, void *context)
{
	run_verb(req, context, vm_resume, changed);
}

void api_vm_recover(struct http_request *req, void *context)
{
	run_verb(req, context, vm_recover, changed);
}

void api_vm_delete(struct http_request *req, void *context)
{
	run_verb(req, context, vm_delete, gone);
}
