/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of this host on its way through a pipe, packed or unpacked as tar by a thread of its own,
 * while the caller moves the bytes.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "lib/base/error.h"

struct tree {
	int fd; /* the caller's end of the pipe; -1: closed */
	pthread_t thread;
	bool started;
	int theirs;
	int dir_fd; /* borrowed */
	bool unpack;
	const char *names; /* what to pack, see tar_write_names(); NULL: all of it */
	size_t names_len;
	int result;
	struct error error;
};

/* Packs what is in `dir_fd`: read tree->fd. `names` is borrowed until tree_end(). */
int tree_pack(struct tree *tree, int dir_fd, const char *names, size_t names_len,
	      struct error *err) MUST_USE;
/* Unpacks into `dir_fd`: write to tree->fd. */
int tree_unpack(struct tree *tree, int dir_fd, struct error *err) MUST_USE;
/* Closes the caller's end, waits for the other, and says what came of it. */
int tree_end(struct tree *tree, struct error *err);
