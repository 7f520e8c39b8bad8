/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of an archive that is read: what those of an entry say together, extended ones (pax,
 * GNU's long names) included, and the data behind them.
 */
#pragma once

#include <time.h>

#include "lib/tar/bytes.h"

/* What the headers of one entry say. */
struct tar_entry {
	char path[TAR_NAME_MAX];
	char link[TAR_NAME_MAX];
	char sparse_name[TAR_NAME_MAX];
	bool has_path; /* from an extended header: wins over the block's own */
	bool has_link;
	bool has_size;
	bool has_uid;
	bool has_gid;
	bool has_mtime;
	uint64_t size; /* bytes of data in the archive */
	uint64_t uid;
	uint64_t gid;
	struct timespec mtime;
	uint32_t mode;
	uint64_t major;
	uint64_t minor;
	char type;
	bool sparse_major; /* format 1.0 */
	uint64_t real_size;
};

/* All zero at first, but for `in`, which tar_in_init() has set up, and `err`. */
struct tar_entries {
	struct tar_in in;
	struct error *err;
	uint64_t left; /* data bytes of the entry that have not been read */
	uint64_t padding;
	struct tar_entry entry;
};

/* Reads headers until one is for an entry. 1, 0 at the end of the archive, or an error. */
int tar_entries_next(struct tar_entries *t);
/* Some bytes of the entry's data, at most `max`, good until the next are; 0 when there are no more.
 */
ssize_t tar_entries_data(struct tar_entries *t, uint64_t max, const uint8_t **ret_bytes);
/* What is left of the data. */
int tar_entries_skip(struct tar_entries *t);
/* A number in decimal digits and nothing else. */
bool tar_parse_u64(const char *s, uint64_t *ret);
