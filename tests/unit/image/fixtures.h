/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the image tests share: a builder run as the body of a real operation, scratch folders, and
 * small packages, kernels and modules made on the spot.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "server/ops/op.h"

/* --- operations --- */

/* Runs `body` as an operation on a loop of its own; returns its result, its error in *ret_err. */
int run_body(op_run_fn *body, void *data, struct error *ret_err);
/* The same, cancelled before the body begins. */
int run_body_cancelled(op_run_fn *body, void *data, struct error *ret_err);

/* --- folders --- */

struct scratch {
	char path[64];
	int fd;
};

void scratch_open(struct scratch *s);
void scratch_done(struct scratch *s);
/* Number of names in `folder` below the scratch folder, hidden ones included; 0: absent. */
size_t scratch_count(const struct scratch *s, const char *folder);
/* "<scratch>/<name>"; the caller frees. */
char *scratch_path(const struct scratch *s, const char *name);

/* --- packages --- */

struct fixture_file {
	const char *path; /* "./boot/vmlinuz-1"; ends in '/': a folder; NULL ends a list */
	const void *data;
	size_t len;
	mode_t mode; /* 0: 0644 or 0755 */
};

/* A .deb with these files, as an open descriptor at its start. `filter` is an ARCHIVE_FILTER_*
 * code for the inner tar. */
int fixture_deb(const struct fixture_file *files, int filter);

/* --- kernels --- */

struct blob {
	uint8_t *data; /* the caller frees */
	size_t len;
};

/* The bytes compressed with `filter`, without archive around them. */
struct blob fixture_compress(const void *data, size_t len, int filter);
/* The least that passes for a 64-bit x86 ELF kernel of `len` bytes, with a PVH note. */
struct blob fixture_elf(size_t len);
/* A bzImage of version `version` with that payload, whose decompressed size is `out_len`. */
struct blob fixture_bzimage(const char *version, const struct blob *payload, uint32_t out_len);
/* A module that depends on `depends` ("a,b"). */
struct blob fixture_module(const char *depends);
