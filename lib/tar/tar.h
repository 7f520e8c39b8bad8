/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as tar streams (POSIX ustar with pax headers, GNU sparse format 1.0), in constant memory
 * and with blocking descriptors: meant for a process of its own. Owners, modes, times of files,
 * symbolic and hard links, devices and holes are kept; extended attributes are only by
 * tar_write_root().
 *
 * What is read is hostile: names can't leave the folder (".." is refused, absolute names are made
 * relative, symbolic links on the way are resolved inside it), and each length is checked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

enum {
	TAR_BLOCK = 512,
	TAR_NAME_MAX = 16 * 1024,   /* of a path or a link's target */
	TAR_PAX_MAX = 64 * 1024,    /* of one extended header; longer ones are refused */
	TAR_DEPTH_MAX = 256,        /* folders in folders */
	TAR_HARD_LINKS_MAX = 65536, /* files with several names; others are sent as copies */
	TAR_HOLES_MAX = 16384,      /* pieces of one sparse file; more are sent as zeros */
	TAR_XATTRS_MAX = 4096,      /* bytes of a file's names of extended attributes */
	TAR_XATTR_MAX = 16 * 1024,  /* of one value; longer ones are left out */
};

enum tar_owner {
	TAR_KEEP_OWNER,
	/* Packed as root's. Unpacked as the process's own, without devices and without the bits
	 * that lend somebody's rights to whoever runs a file. */
	TAR_DROP_OWNER,
};

/*
 * Writes the root file system `dir_fd`, names relative to it: with the extended attributes that an
 * image has (capabilities of files, and users' own), and without what is mounted on it.
 */
int tar_write_root(int out_fd, int dir_fd, struct error *err) MUST_USE;

/*
 * Writes those of the folder's files (of any kind but folders) that `names` lists, each ended by a
 * NUL, `len` bytes in all. What is not there is left out, and so is what lies behind a symbolic
 * link.
 */
int tar_write_names(int out_fd, int dir_fd, const char *names, size_t len, enum tar_owner owner,
		    struct error *err) MUST_USE;

/* A folder in an archive of several: what tar_write_names() writes, or all of it. */
struct tar_part {
	int dir_fd;
	const char *names; /* NULL: all */
	size_t len;
	const char *name;     /* one file of the folder in place of all; NULL: none */
	const char *as;       /* its name in the archive, or the folder's; NULL: as it is */
	mode_t mode;          /* of that one file; 0: as it is */
	size_t *ret_left_out; /* takes files and folders alone, and counts what is neither; NULL:
				 takes all kinds */
};
/* Writes the parts one after the other as one archive; what two of them have should be the same. */
int tar_write_parts(int out_fd, const struct tar_part *parts, size_t n, enum tar_owner owner,
		    struct error *err) MUST_USE;

/* Memory that an archive is written into, by whoever reads it from there. */
struct tar_sink {
	/* Room for at least one byte at *ret_room, waited for: how much, or a negative errno. */
	ssize_t (*room)(void *data, uint8_t **ret_room);
	/* The first `len` bytes of it are filled; the next call is room(). A negative errno: nobody
	 * wants them. */
	int (*filled)(void *data, size_t len);
	void *data;
};
/* A folder, or the one file `name` of it, with owners; with `root` as tar_write_root() does. */
int tar_write_into(const struct tar_sink *sink, int dir_fd, const char *name, bool root,
		   struct error *err) MUST_USE;

/* Memory that an archive is read from. */
struct tar_source {
	/* The next bytes, waited for and good until the next call: how many, 0 at the end, or a
	 * negative errno. */
	ssize_t (*next)(void *data, const uint8_t **ret_bytes);
	void *data;
};
int tar_read_from(const struct tar_source *source, int dir_fd, enum tar_owner owner,
		  struct error *err) MUST_USE;

/* Unpacks below the folder `dir_fd`, and reads to the end of the input. */
int tar_read(int in_fd, int dir_fd, enum tar_owner owner, struct error *err) MUST_USE;
