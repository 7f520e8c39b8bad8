/* SPDX-License-Identifier: Apache-2.0 */
/* Which members a plain tar archive has and where they lie, not what is in them. */
#pragma once

#include "lib/base/error.h"
#include "server/unpack/wire.h"

/* Files and symbolic links, in the order of the archive. A negative errno ends the reading. */
typedef int members_fn(void *data, const struct unpack_listed *member, struct error *err);

/* Of the archive open at `fd`. What is handed on lies inside of it; its names do not begin with
 * "./" or end with '/'. */
int members_list(int fd, members_fn *fn, void *data, struct error *err) MUST_USE;
