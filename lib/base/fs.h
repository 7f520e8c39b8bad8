/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders below a folder that the caller has opened. All functions return >= 0 or a
 * negative errno, are silent, and open with O_CLOEXEC. Paths given here never leave the folder:
 * openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"

/* Opens `path` below `dir_fd`. The caller owns the descriptor. */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode) MUST_USE;

/* Like open_beneath, and refuses what is not a regular file (-EINVAL). Never blocks on a FIFO. */
int open_regular_beneath(int dir_fd, const char *path, int flags, mode_t mode) MUST_USE;

/*
 * Locks the file for this process until it ends, or closes any descriptor of that file; `fd` is
 * open for writing. Unlike flock(2) no child has a part in it: one between fork and exec would keep
 * it for a process that has died. -EAGAIN: another has it, *ret_holder is its pid, 0 when that is
 * not known. fcntl_locking(2).
 */
int lock_for_process(int fd, pid_t *ret_holder) MUST_USE;

/* Opens the folder `path` (absolute or relative to the working directory), made with its parents if
 * absent. */
int open_dir_create(const char *path, mode_t mode) MUST_USE;

/* Makes (if absent) and opens the folder `name` below `dir_fd`. */
int open_subdir(int dir_fd, const char *name, mode_t mode) MUST_USE;

/* Reads a whole file of at most `max` bytes; adds a NUL behind it. *ret_data is the caller's to
 * free. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret_data,
		 size_t *ret_len) MUST_USE;

/* The same for a path that the caller trusts (absolute, /proc, /sys): symbolic links are followed.
 */
int read_file(const char *path, size_t max, char **ret_data, size_t *ret_len) MUST_USE;

/*
 * A new file without a name in the folder `path`, to read and write: it is gone when the last
 * descriptor is closed. Also where the file system has no O_TMPFILE (NFS, overlayfs before Linux
 * 6.3).
 */
int open_unnamed(const char *path) MUST_USE;

/* Replaces a file atomically and durably: temporary file, fsync, rename, fsync of the folder. */
int write_file_at(int dir_fd, const char *path, const void *data, size_t len, mode_t mode) MUST_USE;

/* write(2) until all is written; EINTR is retried. */
int write_all(int fd, const void *data, size_t len) MUST_USE;

/* The entries of an open folder from the first on, with a descriptor of its own; NULL with errno.
 * For closedir(). */
DIR *dir_entries(int dir_fd) MUST_USE;

/* Removes a file or a whole tree below `dir_fd`; absent is success. Never follows a link out of it.
 */
int remove_tree_at(int dir_fd, const char *name);

/*
 * Copies `src` to the new, empty file `dst`: by reference where the file system can (FICLONE), else
 * only the data extents, so that a sparse file stays sparse.
 */
int copy_sparse(int src_fd, int dst_fd) MUST_USE;

/* "a/b" from its parts; the caller frees. NULL when out of memory. */
char *path_join(const char *a, const char *b) MUST_USE;
