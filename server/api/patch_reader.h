/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says of a patch: on standard output a commit's name in a line and the patch behind
 * it, on standard error what git has to say, and an exit status. None of it is trusted.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/error.h"
#include "server/api/commit_line.h"
#include "server/guest/guest.h"

/* What the script in the guest ends with when it can't make a patch. */
enum patch_status {
	PATCH_NO_FOLDER = 101,
	PATCH_NO_GIT,
	PATCH_NO_REPOSITORY,
	PATCH_NO_COMMIT,
};

struct patch_reader {
	struct commit_line commit; /* whole before the first byte of the patch */
	struct buf said;           /* the beginning of standard error */
};

void patch_reader_init(struct patch_reader *reader);
void patch_reader_done(struct patch_reader *reader);

/* How many of the bytes are the patch's: the last ones. What no git prints has no patch behind it.
 */
size_t patch_reader_take(struct patch_reader *reader, bool is_stderr, const void *bytes,
			 size_t len);

/* 0 when all of the patch has come; else a negative errno with the reason in *err. `path` and
 * `base` are what was asked for. */
int patch_reader_end(const struct patch_reader *reader, const struct guest_exec_end *end,
		     const char *path, const char *base, struct error *err);
