/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's modules on their way into the store: all are looked at, those that a guest needs stay.
 */
#pragma once

#include <jansson.h>

#include "server/image/modules.h"
#include "server/image/store.h"
#include "server/image/unpacker.h"

struct kernel_modules {
	struct staging *staging;
	struct module_set set;
	int all_fd; /* folder of all modules */
};

int kernel_modules_init(struct kernel_modules *m, struct staging *staging,
			struct error *err) MUST_USE;
void kernel_modules_done(struct kernel_modules *m);

/* Bytes of one module, decompressed. */
enum { KERNEL_MODULE_MAX = 64 << 20 };

/* A module's file, decompressed; `path` is its name, with ".ko.xz" and the like too. */
int kernel_modules_add(struct kernel_modules *m, const char *path, const void *data, size_t len,
		       struct error *err) MUST_USE;
/* Keeps those that a guest needs, as modules/ with modules/list, and appends their names to `list`.
 */
int kernel_modules_keep(struct kernel_modules *m, const char *builtin, json_t *list,
			struct error *err) MUST_USE;

/* All three for the folder `path` (absolute), a /lib/modules/<release>; NULL: there are none. `u`
 * was started with UNPACK_FILES. */
int kernel_modules_take(struct staging *staging, const struct unpacker *u, const char *path,
			const char *builtin, json_t *list, struct error *err) MUST_USE;
