/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's export of a patch as the server takes it: the agent's frames of an exec, in pieces,
 * down to the bytes that a client gets. Those are the same however the input is cut; nothing comes
 * before the name of a commit or after the end; a refusal has its reason.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "server/api/patch_reader.h"
#include "server/guest/exec_internal.h"
#include "tests/fuzz/fuzz.h"

struct export
{
	struct guest_exec *exec; /* NULL: over */
	struct patch_reader reader;
	struct buf out;
	bool slow; /* stops after each piece */
	bool whole;
	struct error err;
};

static int no_link(void *data)
{
	(void)data;
	return -ENOTCONN;
}

static bool on_output(void *data, bool is_stderr, const void *bytes, size_t len)
{
	struct export *e = data;
	size_t patch = patch_reader_take(&e->reader, is_stderr, bytes, len);

	assert(e->exec && len > 0 && len <= LINK_EXEC_CHUNK && patch <= len);
	assert(patch == 0 || (!is_stderr && e->reader.commit.state == COMMIT_LINE_DONE));
	assert(buf_append(&e->out, (const char *)bytes + (len - patch), patch) == 0);
	return !e->slow;
}

static void on_end(void *data, const struct guest_exec_end *end)
{
	struct export *e = data;

	assert(e->exec);
	e->exec = NULL;
	e->whole = patch_reader_end(&e->reader, end, "/root/repo", "HEAD", &e->err) == 0;
	assert(e->whole ? e->err.code == ERR_NONE && e->reader.commit.state == COMMIT_LINE_DONE
			: e->err.code != ERR_NONE && e->err.msg[0]);
}

static void take(struct export *e, const uint8_t *data, size_t size, size_t step)
{
	static const struct guest_callbacks link = { .open = no_link };
	static const struct guest_exec_callbacks callbacks = { .output = on_output, .end = on_end };
	json_auto_t *argv = json_pack("[s]", "git");
	const struct guest_exec_spec spec = { .argv = argv, .user = "root" };
	struct guest *guest = NULL;
	struct loop *loop = NULL;
	size_t at = 0;

	patch_reader_init(&e->reader);
	buf_init(&e->out, size + 1);
	e->err = ERROR_INIT;
	assert(loop_new(&loop) == 0 && guest_new(loop, &link, NULL, &guest) == 0);
	assert(guest_exec_start(guest, "patch", &spec, &callbacks, e, &e->exec, &e->err) == 0);
	while (e->exec && at < size) {
		size_t n = size - at < step ? size - at : step;
		bool more = exec_take(e->exec, data + at, n);

		at += n;
		while (!more && e->exec && e->exec->paused)
			guest_exec_resume(e->exec);
	}
	guest_free(guest);
	assert(!e->exec);
	loop_free(loop);
}

static void done(struct export *e)
{
	patch_reader_done(&e->reader);
	buf_done(&e->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct export whole = { .slow = false };
	struct export cut = { .slow = true };

	take(&whole, data, size, size + 1);
	take(&cut, data, size, 1 + (size > 0 ? data[size - 1] % 13U : 0));
	assert(whole.whole == cut.whole && whole.err.code == cut.err.code);
	assert(strcmp(whole.err.msg, cut.err.msg) == 0);
	assert(buf_len(&whole.out) == buf_len(&cut.out));
	assert(buf_len(&whole.out) == 0 ||
	       memcmp(buf_bytes(&whole.out), buf_bytes(&cut.out), buf_len(&cut.out)) == 0);
	done(&whole);
	done(&cut);
	return 0;
}
