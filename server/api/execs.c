/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /vms/{vm}/execs: commands that outlive their clients. Their output is server/api/exec_output.c,
 * their terminals server/api/terminal.c.
 */
#include "server/vm/execs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"

int api_find_exec(struct http_request *req, struct api *api, struct vm_exec **ret_exec,
		  struct error *err)
{
	struct vm *vm = NULL;
	int r = vms_get(api->vms, http_param(req, "vm"), &vm, err);

	return r < 0 ? r : vm_exec_get(vm, http_param(req, "exec"), ret_exec, err);
}

/* --- waiting: for the start, or for the end --- */

struct waiter {
	struct http_request *req;
	struct vm_exec *exec;
	struct vm_exec_watch *watch;
	struct loop_timer *timer; /* NULL: waits for the start */
};

static void waiter_free(struct waiter *w)
{
	loop_timer_free(w->timer);
	free(w);
}

static void reply_exec(struct http_request *req, struct vm_exec *exec, int status)
{
	const struct exec_row *row = vm_exec_row(exec);
	char location[64];

	if (status == 201) {
		(void)snprintf(location, sizeof(location), "/vms/%s/execs/%s", row->vm_id, row->id);
		http_reply_header(req, "Location", location);
	}
	http_reply_json(req, status, vm_exec_to_json(exec));
}

static void on_waiter_gone(void *data)
{
	struct waiter *w = data;

	vm_exec_unwatch(w->watch);
	waiter_free(w);
}

static void reply_waiter(struct waiter *w)
{
	struct vm_exec *exec = w->exec;
	bool begun = w->timer == NULL;
	struct error why = *vm_exec_error(exec);

	http_on_gone(w->req, NULL, NULL);
	vm_exec_unwatch(w->watch);
	if (begun && why.code != ERR_NONE) {
		/* Nobody has heard of it. */
		vm_exec_delete(exec);
		http_reply_error(w->req, &why, NULL);
	} else {
		reply_exec(w->req, exec, begun ? 201 : 200);
	}
	waiter_free(w);
}

static void on_time_over(void *data)
{
	reply_waiter(data);
}

static void on_news(void *data, enum vm_exec_news news)
{
	struct waiter *w = data;
	struct error err = ERROR_INIT;

	if (news == VM_EXEC_GONE) {
		http_on_gone(w->req, NULL, NULL);
		(void)error_set(&err, ERR_NOT_FOUND, "the exec was deleted meanwhile");
		http_reply_error(w->req, &err, NULL);
		waiter_free(w);
	} else if (vm_exec_ended(w->exec) || (!w->timer && !vm_exec_starting(w->exec))) {
		reply_waiter(w);
	}
}

/* `seconds` < 0: until it has started. */
static int wait_for(struct http_request *req, struct api *api, struct vm_exec *exec, int seconds,
		    struct error *err)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w && seconds >= 0 && loop_timer_new(api->loop, on_time_over, w, &w->timer) < 0) {
		free(w);
		w = NULL;
	}
	if (w)
		*w = (struct waiter){ .req = req, .exec = exec, .timer = w->timer };
	if (w)
		w->watch = vm_exec_watch(exec, on_news, w);
	if (!w || !w->watch) {
		if (w)
			waiter_free(w);
		return error_errno(err, -ENOMEM, "wait for an exec");
	}
	if (w->timer)
		loop_timer_set(w->timer, (int64_t)seconds * 1000000);
	http_on_gone(req, on_waiter_gone, w);
	on_news(w, VM_EXEC_CHANGED);
	return 0;
}

/* --- create --- */

struct create_body {
	const json_t *argv;
	const json_t *env;
	const char *cwd;
	const char *user;
	bool tty;
	uint32_t rows;
	uint32_t cols;
	const char *input;
	bool stdin_open;
	uint32_t timeout_s;
};

static const struct json_field create_fields[] = {
	{ "argv", JSON_FIELD_VALUE, offsetof(struct create_body, argv), true },
	{ "env", JSON_FIELD_VALUE, offsetof(struct create_body, env), false },
	{ "cwd", JSON_FIELD_STRING, offsetof(struct create_body, cwd), false },
	{ "user", JSON_FIELD_STRING, offsetof(struct create_body, user), false },
	{ "tty", JSON_FIELD_BOOL, offsetof(struct create_body, tty), false },
	{ "rows", JSON_FIELD_U32, offsetof(struct create_body, rows), false },
	{ "cols", JSON_FIELD_U32, offsetof(struct create_body, cols), false },
	{ "stdin", JSON_FIELD_STRING, offsetof(struct create_body, input), false },
	{ "stdin_open", JSON_FIELD_BOOL, offsetof(struct create_body, stdin_open), false },
	{ "timeout_s", JSON_FIELD_U32, offsetof(struct create_body, timeout_s), false },
};

void api_exec_create(struct http_request *req, void *context)
{
	struct api *api = context;
	struct create_body b = { .rows = 24, .cols = 80 };
	struct vm_exec *exec = NULL;
	struct vm_exec_spec spec;
	struct vm *vm = NULL;
	struct error err = ERROR_INIT;
	int r = json_decode(http_body(req), create_fields, ARRAY_SIZE(create_fields), &b, &err);

	if (r == 0)
		r = vms_get(api->vms, http_param(req, "vm"), &vm, &err);
	if (r == 0 && vm_exec_get(vm, http_new_id(req), &exec, &err) < 0) {
		if (api_wake_first(req, api, vm, api_exec_create))
			return;
		spec = (struct vm_exec_spec){
			.id = http_new_id(req),
			.guest = { .argv = b.argv,
				   .env = b.env,
				   .cwd = b.cwd,
				   .user = b.user,
				   .tty = b.tty,
				   .rows = (uint16_t)b.rows,
				   .cols = (uint16_t)b.cols,
				   .timeout_ms = b.timeout_s * 1000,
				   .stdin_open = b.stdin_open || b.tty },
			.input = b.input,
		};
		err = ERROR_INIT;
		r = vm_exec_start(vm, &spec, http_principal(req), &exec, &err);
	} else if (r == 0) {
		http_mark_replayed(req);
	}
	if (r == 0)
		r = wait_for(req, api, exec, -1, &err);
	if (r < 0)
		http_reply_error(req, &err, NULL);
}

/* --- look --- */

void api_exec_list(struct http_request *req, void *context)
{
	struct api *api = context;
	json_t *items = NULL;
	struct vm *vm = NULL;
	struct error err;

	if (vms_get(api->vms, http_param(req, "vm"), &vm, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	items = json_array();
	for (struct vm_exec *e = vm_exec_next(vm, NULL); e; e = vm_exec_next(vm, e))
		(void)json_array_append_new(items, vm_exec_to_json(e));
	http_reply_json(req, 200, json_pack("{s:o}", "items", items));
}

void api_exec_get(struct http_request *req, void *context)
{
	struct api *api = context;
	struct vm_exec *exec = NULL;
	struct error err;
	int r = api_find_exec(req, api, &exec, &err);

	if (r == 0 && http_prefer_wait(req) > 0 && !vm_exec_ended(exec)) {
		r = wait_for(req, api, exec, http_prefer_wait(req), &err);
		if (r == 0)
			return;
	}
	if (r < 0)
		http_reply_error(req, &err, NULL);
	else
		reply_exec(req, exec, 200);
}

/* --- act on it --- */

void api_exec_delete(struct http_request *req, void *context)
{
	struct vm_exec *exec = NULL;
	struct error err;

	if (api_find_exec(req, context, &exec, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	vm_exec_delete(exec);
	http_reply_empty(req, 204);
}

static int find_running(struct http_request *req, struct api *api, struct vm_exec **ret_exec,
			struct error *err)
{
	int r = api_find_exec(req, api, ret_exec, err);

	return r < 0 ? r : vm_exec_check_runs(*ret_exec, err);
}

static int signal_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "ABRT", SIGABRT }, { "HUP", SIGHUP },   { "INT", SIGINT },
		{ "QUIT", SIGQUIT }, { "KILL", SIGKILL }, { "USR1", SIGUSR1 },
		{ "USR2", SIGUSR2 }, { "TERM", SIGTERM }, { "STOP", SIGSTOP },
		{ "CONT", SIGCONT }, { "TSTP", SIGTSTP }, { "WINCH", SIGWINCH },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (streq(signals[i].name, name))
			return signals[i].number;
	return 0;
}

void api_exec_signal(struct http_request *req, void *context)
{
	const char *name = json_string_value(json_object_get(http_body(req), "signal"));
	struct vm_exec *exec = NULL;
	struct error err;

	if (find_running(req, context, &exec, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	vm_exec_signal(exec, signal_number(name ? name : "TERM"));
	http_reply_empty(req, 204);
}

void api_exec_resize(struct http_request *req, void *context)
{
	json_int_t rows = json_integer_value(json_object_get(http_body(req), "rows"));
	json_int_t cols = json_integer_value(json_object_get(http_body(req), "cols"));
	struct vm_exec *exec = NULL;
	struct error err;
	int r = find_running(req, context, &exec, &err);

	if (r == 0 && !vm_exec_row(exec)->tty)
		r = error_set(&err, ERR_STATE, "exec %s has no terminal", vm_exec_row(exec)->id);
	if (r < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	vm_exec_resize(exec, (uint16_t)rows, (uint16_t)cols);
	http_reply_empty(req, 204);
}

/* --- input --- */

struct input {
	struct http_request *req;
	struct vm_exec *exec; /* NULL: gone, the rest of the body is dropped */
	struct vm_exec_watch *watch;
	bool close; /* the program's input ends with the body */
};

static size_t on_input(void *data, const void *bytes, size_t len)
{
	struct input *in = data;

	return in->exec ? vm_exec_write(in->exec, bytes, len) : len;
}

static void on_input_end(void *data)
{
	struct input *in = data;
	struct error err = ERROR_INIT;

	if (!in->exec || vm_exec_check_runs(in->exec, &err) < 0) {
		if (err.code == ERR_NONE)
			(void)error_set(&err, ERR_NOT_FOUND, "the exec was deleted meanwhile");
		http_reply_error(in->req, &err, NULL);
	} else {
		if (in->close)
			vm_exec_close_stdin(in->exec);
		http_reply_empty(in->req, 204);
	}
	vm_exec_unwatch(in->watch);
	free(in);
}

static void on_input_gone(void *data)
{
	struct input *in = data;

	vm_exec_unwatch(in->watch);
	free(in);
}

static void on_input_news(void *data, enum vm_exec_news news)
{
	struct input *in = data;

	if (news == VM_EXEC_GONE) {
		in->exec = NULL;
		in->watch = NULL;
	}
	if (news != VM_EXEC_CHANGED || vm_exec_ended(in->exec))
		http_upload_resume(in->req);
}

void api_exec_input(struct http_request *req, void *context)
{
	static const struct http_upload_callbacks upload = { .data = on_input,
							     .end = on_input_end,
							     .gone = on_input_gone };
	struct vm_exec *exec = NULL;
	struct input *in = NULL;
	struct error err;
	int r = find_running(req, context, &exec, &err);

	if (r == 0) {
		in = calloc(1, sizeof(*in));
		if (in)
			*in = (struct input){ .req = req,
					      .exec = exec,
					      .close = !api_query_bool(req, "more", false),
					      .watch = vm_exec_watch(exec, on_input_news, in) };
		r = in && in->watch ? 0 : error_errno(&err, -ENOMEM, "input of an exec");
	}
	if (r < 0) {
		free(in);
		http_reply_error(req, &err, NULL);
		return;
	}
	http_upload_begin(req, &upload, in);
}
