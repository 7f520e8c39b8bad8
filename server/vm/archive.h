/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots as one tar stream, out of this server and into it. The stream is made and taken apart
 * by a process of its own (banger-archive); the server moves bytes. What comes in is held against
 * its manifest and checksums before anybody sees it.
 *
 * All on the loop's thread unless a comment says "worker".
 */
#pragma once

#include "server/vm/snapshot.h"

struct snapshot_archive;

struct snapshot_archive_callbacks {
	/* snapshot_archive_fd() can be read (an export) or written (an import). */
	void (*ready)(void *data);
	/* An import has been unpacked, or either has failed: the archive does nothing more. */
	void (*end)(void *data, const struct error *err);
};

/* ERR_NOT_FOUND; ERR_BUSY when too many are under way. */
int snapshot_archive_export(struct snapshots *snapshots, const char *id,
			    const struct snapshot_archive_callbacks *callbacks, void *data,
			    struct snapshot_archive **ret_archive, struct error *err) MUST_USE;
int snapshot_archive_import(struct snapshots *snapshots,
			    const struct snapshot_archive_callbacks *callbacks, void *data,
			    struct snapshot_archive **ret_archive, struct error *err) MUST_USE;

/* Export: as read(2): 0 at the end of a stream that may be whole, -EAGAIN. `end` tells which. */
ssize_t snapshot_archive_read(struct snapshot_archive *archive, void *bytes, size_t max);
/* Import: bytes taken; fewer than all: wait for `ready`. */
size_t snapshot_archive_write(struct snapshot_archive *archive, const void *bytes, size_t len);
/* Import: that was all. */
void snapshot_archive_finish(struct snapshot_archive *archive);
/* Whether `ready` is wanted. */
void snapshot_archive_watch(struct snapshot_archive *archive, bool watch);
/* Ends what runs and removes what is half-made. NULL is fine. */
void snapshot_archive_free(struct snapshot_archive *archive);

/*
 * After a successful `end` of an import: checks and publishes it as an operation whose result is
 * {"snapshot": id}. The archive is taken over.
 */
int snapshot_archive_publish(struct snapshot_archive *archive, const char *who, struct op **ret_op,
			     struct error *err) MUST_USE;
