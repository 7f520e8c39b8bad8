/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of the content-addressed store: built under a temporary name beside their place, then
 * published by one rename. What is found under a final name is therefore complete.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/digest/digest.h"

enum { STORE_ID_SIZE = 72, STORE_MANIFEST_MAX = 1024 * 1024 };

struct staging {
	int parent_fd;
	int fd;        /* the folder under its temporary name */
	char name[48]; /* ".new-<id>"; "" once published or removed */
	char *path;    /* absolute, for programs that we start */
};

#define STAGING_INIT ((struct staging){ .parent_fd = -1, .fd = -1 })

/* Makes `parent` with its parents if absent and a new folder in it. */
int staging_open(const char *parent, struct staging *ret_staging, struct error *err) MUST_USE;
/* Absolute path of a file in the folder; the caller frees, NULL: out of memory. */
char *staging_path(const struct staging *staging, const char *name) MUST_USE;
/*
 * Writes manifest.json and renames the folder to `id`. One that is there already is kept when its
 * manifest is the same and it has all the files, of the same sizes; else it is replaced. Who has
 * its files open is not disturbed.
 */
int staging_publish(struct staging *staging, const char *id, const json_t *manifest,
		    struct error *err) MUST_USE;
/*
 * A mark in an entry whose content was found to be another than its digest says: whoever has it in
 * use goes on, and it is replaced by the next one that is published under its id. Best effort.
 */
void entry_mark_damaged(int dir_fd);
bool entry_is_damaged(int dir_fd) MUST_USE;
/* Removes what was not published. */
void staging_done(struct staging *staging);

/* Removes what an earlier process left half-built in `parent`. Start-up only. */
int entries_sweep(const char *parent, struct error *err) MUST_USE;

/* "sha256-" and the digits. */
void entry_id_format(const struct digest *digest, char ret_id[STORE_ID_SIZE]);
bool entry_id_valid(const char *id);

/* Makes an entry young, for the collector; false when it is not there. */
bool entry_hold(const char *parent, const char *id) MUST_USE;

/* Opens the folder of an entry: ERR_NOT_FOUND when it is not there. */
int entry_open(const char *parent, const char *id, int *ret_fd, struct error *err) MUST_USE;
/* Reads an entry's manifest; new reference. */
int entry_manifest(const char *parent, const char *id, json_t **ret_manifest,
		   struct error *err) MUST_USE;
/* Hidden by a rename first, so that nobody can find it half removed. Absent is success. */
int entry_remove(const char *parent, const char *id, struct error *err);
/* Writes a new file below `dir_fd`; staging_publish() syncs it. Returns 0 or a negative errno. */
int write_new_file(int dir_fd, const char *name, const void *data, size_t len) MUST_USE;
/* "<parent>/<id>/<file>"; the caller frees. NULL: out of memory. */
char *entry_path(const char *parent, const char *id, const char *file) MUST_USE;
