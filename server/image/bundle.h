/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files by name, in a folder or in a plain tar archive that is a folder packed up: what an OCI
 * image layout and a docker archive are. banger-unpack says where in the archive they lie; what is
 * in them is for others.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "server/image/image.h"
#include "server/unpack/wire.h"

enum { BUNDLE_MEMBERS_MAX = 4096 };

struct bundle {
	int fd;                        /* of the folder or of the archive */
	const char *tmp;               /* borrowed: a folder for what is taken out of an archive */
	struct unpack_listed *members; /* NULL: a folder */
	size_t n;
};

#define BUNDLE_INIT ((struct bundle){ .fd = -1 })

/* True when the file starts as a plain tar archive does. */
bool bundle_is_tar(int fd);
/* Take over `fd`, also on failure. `paths` must live as long as the bundle. */
int bundle_open_tar(const struct image_paths *paths, int fd, struct op *op,
		    struct bundle *ret_bundle, struct error *err) MUST_USE;
void bundle_open_folder(int fd, struct bundle *ret_bundle);
void bundle_done(struct bundle *bundle);

bool bundle_has(const struct bundle *bundle, const char *name);
/* A descriptor of the file's content at offset 0; the caller closes. ERR_INVALID: not there. */
int bundle_file(const struct bundle *bundle, const char *name, int *ret_fd,
		struct error *err) MUST_USE;
/* A small file whole, with a NUL behind it; the caller frees. */
int bundle_text(const struct bundle *bundle, const char *name, size_t max, char **ret_text,
		size_t *ret_len, struct error *err) MUST_USE;
