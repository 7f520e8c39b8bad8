/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of an archive that is written: the header, with an extended one (pax) before it where it
 * has no room for what there is to say.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/tar/bytes.h"

struct tar_entry_out {
	struct tar_out out;
	struct error *err;
	char path[TAR_NAME_MAX]; /* of the entry at hand */
	size_t path_len;
	enum tar_owner owner;
	mode_t mode;    /* of the files; 0: each its own */
	bool xattrs;    /* as of tar_write_root() */
	struct buf pax; /* extended header of the entry at hand */
};

int tar_put(struct tar_entry_out *e, const void *bytes, size_t len);
/* Zeros up to the next block, for data of this length. */
int tar_put_padding(struct tar_entry_out *e, uint64_t len);
/* A record of the extended header of the next entry. 0 or a negative errno. */
int tar_add_pax(struct tar_entry_out *e, const char *key, const char *value);
int tar_add_pax_number(struct tar_entry_out *e, const char *key, uint64_t value);
/* Those of a file or folder that is open, where they are wanted. */
int tar_add_xattrs(struct tar_entry_out *e, int fd);
/* Extended header, where one is needed, and header; `size` are the bytes that follow. */
int tar_put_entry(struct tar_entry_out *e, const struct stat *st, char type, uint64_t size,
		  const char *link);
