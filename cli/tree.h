/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of this host on its way through a pipe, packed or unpacked as tar by a thread of its own,
 * while the caller moves the bytes.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/tar/tar.h"

struct tree {
	int fd; /* the caller's end of the pipe; -1: closed */
	pthread_t thread;
	bool started;
	int theirs;
	int dir_fd; /* to unpack into; borrowed */
	bool unpack;
	const struct tar_part *parts; /* to pack; borrowed */
	size_t n_parts;
	int result;
	struct error error;
};

/* Packs the parts: read tree->fd. They are borrowed until tree_end(). */
int tree_pack(struct tree *tree, const struct tar_part *parts, size_t n,
	      struct error *err) MUST_USE;
/* Unpacks into `dir_fd`: write to tree->fd. */
int tree_unpack(struct tree *tree, int dir_fd, struct error *err) MUST_USE;
/* Closes the caller's end, waits for the other, and says what came of it. */
int tree_end(struct tree *tree, struct error *err);
