/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root file system as a stream of tar entries, written into a squashfs by sqfstar: no root, no
 * mount, no files in between. The stream is always ended properly, whatever its source looked like.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "server/image/store.h"
#include "server/image/task.h"

#define SQUASHFS_FILE "root.squashfs"

struct squashfs {
	struct op *op;
	struct task task;
	struct task_running running;
	char *path; /* of the file */
	int fd;     /* our end of the stream; -1: another program's */
	int theirs; /* sqfstar's end, until it runs */
	char *program;
	const char *argv[24];
	const char *env[4];
	char epoch[48];
};

#define SQUASHFS_INIT ((struct squashfs){ .fd = -1, .theirs = -1, .running = TASK_RUNNING_INIT })

/* Times are kept as they are, and the root folder's is now. */
enum { SQUASHFS_EPOCH_NONE = -1 };

/*
 * Makes the stream, whose bytes wait until squashfs_run(). The struct must stay where it is until
 * squashfs_finish() or squashfs_abandon().
 */
int squashfs_open(struct squashfs *sq, struct op *op, struct error *err) MUST_USE;
/*
 * Starts writing SQUASHFS_FILE in the staging folder. `epoch` in seconds since 1970: the time of
 * the squashfs and of its root folder, and of each file that is younger; so what is built twice
 * comes out the same.
 */
int squashfs_run(struct squashfs *sq, const struct staging *staging, int64_t epoch,
		 struct error *err) MUST_USE;
/* Both. */
int squashfs_start(struct squashfs *sq, const struct staging *staging, int64_t epoch, struct op *op,
		   struct error *err) MUST_USE;

/* --- entries: names are relative, without "./"; owners 0:0 and times 0. Names and targets of more
 * than 100 bytes are refused. --- */

int squashfs_put_dir(struct squashfs *sq, const char *name, mode_t mode,
		     struct error *err) MUST_USE;
int squashfs_put_file(struct squashfs *sq, const char *name, mode_t mode, const void *data,
		      size_t len, struct error *err) MUST_USE;
int squashfs_put_link(struct squashfs *sq, const char *name, const char *target,
		      struct error *err) MUST_USE;

/* Ends the stream and waits for sqfstar. */
int squashfs_finish(struct squashfs *sq, struct error *err) MUST_USE;
void squashfs_abandon(struct squashfs *sq);

/*
 * For a stream that another program writes: hands out the descriptor for that program's standard
 * output (the caller closes it once the program has started) in place of the entries above.
 */
int squashfs_take_fd(struct squashfs *sq);
