/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs as small JSON files beside the data that they describe, by a table of fields. Every field
 * must be there and fit when it is read: a manifest is written by this program alone, so anything
 * else is damage.
 */
#pragma once

#include <stddef.h>

#include "lib/base/macro.h"

enum manifest_kind {
	MANIFEST_TEXT,   /* char[size] */
	MANIFEST_NUMBER, /* int64_t */
	MANIFEST_BOOL,   /* bool */
};

struct manifest_field {
	const char *name;
	enum manifest_kind kind;
	size_t offset;
	size_t size;
};

#define MANIFEST_FIELD(kind, type, member)                               \
	{                                                                \
#member, MANIFEST_##kind, offsetof(struct type, member), \
			sizeof(((struct type *)0)->member)               \
	}

/* Writes manifest.json into the folder, durably. 0 or a negative errno. Any thread. */
int manifest_write(int dir_fd, const struct manifest_field *fields, size_t n,
		   const void *data) MUST_USE;
/* -ENOENT without one, -EBADMSG when it is damaged. Any thread. */
int manifest_read(int dir_fd, const struct manifest_field *fields, size_t n,
		  void *ret_data) MUST_USE;
