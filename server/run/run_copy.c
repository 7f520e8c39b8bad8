/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the request, then the workspace, into the guest. */
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/cleanup.h"
#include "server/run/run_internal.h"

enum { UPLOAD_WAIT_US = 600 * 1000 * 1000 };

static void next_file(struct run *run);

/* --- one file --- */

/* `what` is the field of the request. */
static int file_bytes(const json_t *file, const char *what, unsigned char **ret_bytes,
		      size_t *ret_len, struct error *err)
{
	const json_t *content = json_object_get(file, "content");
	const json_t *encoded = json_object_get(file, "base64");
	const json_t *given = content ? content : encoded;
	size_t len = json_string_length(given);
	unsigned char *bytes = malloc(len + 4);
	ssize_t n = (ssize_t)len;

	if (!bytes)
		return error_errno(err, -ENOMEM, "file");
	if (content)
		memcpy(bytes, json_string_value(content), len);
	else
		n = base64_decode(json_string_value(encoded), len, bytes);
	if (n < 0) {
		free(bytes);
		return error_set(err, ERR_INVALID, "/%s: the base64 of %s is not acceptable", what,
				 json_string_value(json_object_get(file, "path")));
	}
	*ret_bytes = bytes;
	*ret_len = (size_t)n;
	return 0;
}

static void send_more(void *data)
{
	struct run *run = data;

	if (!run->sending)
		return;
	run->send_off += guest_stream_write(run->stream, run->sending + run->send_off,
					    run->send_len - run->send_off);
	if (run->send_off < run->send_len)
		return;
	free(run->sending);
	run->sending = NULL;
	guest_stream_finish(run->stream);
}

static void on_file_end(void *data, const struct error *err)
{
	struct run *run = data;
	const json_t *file = json_array_get(run->spec.files, run->at);
	struct error why = *err;

	run->stream = NULL;
	if (err->code != ERR_NONE) {
		(void)error_wrap(&why, "%.200s", json_string_value(json_object_get(file, "path")));
		run_fail(run, &why);
		return;
	}
	run->at++;
	next_file(run);
}

static int begin_file(struct run *run, struct guest *guest, const json_t *file, struct error *err)
{
	static const struct guest_stream_callbacks callbacks = { .writable = send_more,
								 .end = on_file_end };
	const json_t *mode = json_object_get(file, "mode");
	struct guest_put_options options = GUEST_PUT_OPTIONS_INIT;
	int r = file_bytes(file, "files", &run->sending, &run->send_len, err);

	if (r < 0)
		return r;
	run->send_off = 0;
	options.parents = true;
	if (mode)
		options.mode = (int32_t)strtol(json_string_value(mode), NULL, 8);
	return guest_file_put(guest, json_string_value(json_object_get(file, "path")), &options,
			      &callbacks, run, &run->stream, err);
}

static int the_guest(struct run *run, struct guest **ret_guest, struct error *err)
{
	struct vm *vm = NULL;
	int r = vms_get(run->runs->c.vms, run->vm_id, &vm, err);

	if (r < 0)
		return r;
	*ret_guest = vm_guest(vm);
	return *ret_guest ? 0 : error_set(err, ERR_GUEST, "the VM has ended");
}

/* --- the workspace --- */

static void on_tar_writable(void *data)
{
	struct run *run = data;

	if (run->upload)
		run->upload->writable(run->upload_data);
}

static void on_tar_end(void *data, const struct error *err)
{
	struct run *run = data;
	const struct run_upload_callbacks *upload = TAKE_PTR(run->upload);

	run->stream = NULL;
	if (upload)
		upload->end(run->upload_data, err);
	if (err->code != ERR_NONE) {
		run_fail(run, err);
		return;
	}
	run->unpacked = true;
	run_next(run);
}

static void begin_tar(struct run *run)
{
	static const struct guest_stream_callbacks callbacks = { .writable = on_tar_writable,
								 .end = on_tar_end };
	const char *path = json_string_value(json_object_get(run->spec.workspace, "path"));
	struct guest *guest = NULL;
	struct error err = ERROR_INIT;

	loop_timer_clear(run->timer);
	if (the_guest(run, &guest, &err) < 0 ||
	    guest_tar_put(guest, path, &callbacks, run, &run->stream, &err) < 0) {
		run_fail(run, &err);
		return;
	}
	if (run->upload_whole)
		guest_stream_finish(run->stream);
	else
		run->upload->writable(run->upload_data);
}

static bool is_inline(const struct run *run)
{
	return json_object_get(run->spec.workspace, "base64") != NULL;
}

/* The archive came with the request. */
static void begin_inline_tar(struct run *run)
{
	static const struct guest_stream_callbacks callbacks = { .writable = send_more,
								 .end = on_tar_end };
	const char *path = json_string_value(json_object_get(run->spec.workspace, "path"));
	struct guest *guest = NULL;
	struct error err = ERROR_INIT;

	run->send_off = 0;
	if (the_guest(run, &guest, &err) < 0 ||
	    file_bytes(run->spec.workspace, "workspace", &run->sending, &run->send_len, &err) < 0 ||
	    guest_tar_put(guest, path, &callbacks, run, &run->stream, &err) < 0)
		run_fail(run, &err);
	else
		send_more(run);
}

static bool waits_for_workspace(const struct run *run)
{
	return run->spec.workspace && !is_inline(run) && !run->unpacked &&
	       run->phase <= RUN_PHASE_COPYING && run->error.code == ERR_NONE;
}

static bool files_are_there(const struct run *run)
{
	return run->phase == RUN_PHASE_COPYING && run->at == json_array_size(run->spec.files);
}

int run_upload_begin(struct run *run, const struct run_upload_callbacks *callbacks, void *data,
		     struct error *err)
{
	if (!waits_for_workspace(run))
		return error_set(err, ERR_STATE, "run %s does not wait for a workspace", run->id);
	if (run->upload)
		return error_set(err, ERR_BUSY, "the workspace of run %s is being sent already",
				 run->id);
	run->upload = callbacks;
	run->upload_data = data;
	run->upload_whole = false;
	if (files_are_there(run))
		begin_tar(run);
	return 0;
}

size_t run_upload_write(struct run *run, const void *bytes, size_t len)
{
	return run->stream && files_are_there(run) ? guest_stream_write(run->stream, bytes, len)
						   : 0;
}

void run_upload_finish(struct run *run)
{
	run->upload_whole = true;
	if (run->stream && files_are_there(run))
		guest_stream_finish(run->stream);
}

static void await_workspace(struct run *run)
{
	if (run->upload)
		begin_tar(run);
	else
		loop_timer_set(run->timer, UPLOAD_WAIT_US);
}

void run_upload_abort(struct run *run)
{
	run->upload = NULL;
	if (!files_are_there(run))
		return;
	if (run->stream)
		guest_stream_abort(run->stream);
	run->stream = NULL;
	await_workspace(run);
}

/* --- the phase --- */

static void next_file(struct run *run)
{
	const json_t *file = json_array_get(run->spec.files, run->at);
	struct guest *guest = NULL;
	struct error err = ERROR_INIT;

	if (!file && is_inline(run)) {
		begin_inline_tar(run);
		return;
	}
	if (!file && run->spec.workspace) {
		await_workspace(run);
		return;
	}
	if (!file) {
		run_next(run);
		return;
	}
	if (the_guest(run, &guest, &err) < 0 || begin_file(run, guest, file, &err) < 0)
		run_fail(run, &err);
	else
		send_more(run);
}

void run_copy(struct run *run)
{
	run->at = 0;
	run_set_phase(run, RUN_PHASE_COPYING);
	next_file(run);
}
