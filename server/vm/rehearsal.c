/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/rehearsal.h"

#include "lib/base/cleanup.h"

enum { REHEARSAL_MS = 180 * 1000, CALL_MS = 60 * 1000 };

/* --- on the loop, one after the other --- */

static void on_home(void *data, const json_t *reply, const struct error *err)
{
	struct rehearsal *r = data;

	(void)reply;
	if (err)
		r->vm->guest_error = *err;
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
	unseen_wake(r->vm);
}

/* What a VM's home will get of the host is made ahead, empty. */
static void on_identity(void *data, const json_t *reply, const struct error *err)
{
	struct rehearsal *r = data;

	if (!reply) {
		on_home(r, reply, err);
		return;
	}
	guest_call(
		r->vm->guest, "/home",
		json_pack("{s:b, s:b}", "prepare_keys", r->home.keys, "prepare_git", r->home.git),
		CALL_MS, on_home, r);
}

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	(void)data;
	(void)is_stderr;
	(void)bytes;
	(void)len;
	return true;
}

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct rehearsal *r = data;

	(void)end;
	guest_call(r->vm->guest, "/identity", TAKE_PTR(r->identity), CALL_MS, on_identity, r);
}

static void begin(void *data)
{
	static const struct guest_exec_callbacks callbacks = { .output = on_output, .end = on_end };
	struct rehearsal *r = data;
	struct guest_exec_spec spec = { .argv = r->argv, .timeout_ms = REHEARSAL_MS };
	struct guest_exec *exec = NULL;

	/* What fails is told by guest_error. */
	(void)!guest_exec_start(r->vm->guest, "rehearsal", &spec, &callbacks, r, &exec,
				&r->vm->guest_error);
}

/* --- worker --- */

int rehearse(struct rehearsal *r, struct error *err)
{
	int result;

	r->home = vm_host_files_home(&r->vm->vms->c.host_files);
	result = unseen_on_loop(r->vm, begin, r, err);
	if (result == 0)
		result = unseen_wait(r->vm, &r->done, REHEARSAL_MS, "the rehearsal", err);
	return result < 0 ? result : unseen_drop_guest(r->vm, err);
}

void rehearsal_done(struct rehearsal *r)
{
	json_decref(r->identity);
	r->identity = NULL;
}
