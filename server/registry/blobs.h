/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs by digest in a folder of the cache: "sha256-<hex>" once complete, "part-<hex>" on the way.
 * What is there is used again, and what was begun is gone on with, by whoever comes next; two who
 * want the same blob at the same time share one download. A blob is hashed each time that it is
 * used, so that a damaged cache costs time and nothing else.
 */
#pragma once

#include "server/registry/document.h"
#include "server/registry/fetch.h"

/*
 * Descriptors of `n` blobs, open for reading, in ret_fds; the caller closes them. On failure none
 * is open. `what` ("layer") names them in errors: "layer 2 of 5".
 */
int blobs_get(struct registry *registry, const char *folder, const struct oci_blob *blobs, size_t n,
	      const char *what, int *ret_fds, struct error *err) MUST_USE;

/* Bytes of the blobs in the folder that were not used for `age_s` seconds, removed unless
 * `dry_run`. A blob that is being downloaded stays. */
int blobs_prune(const char *folder, int64_t age_s, bool dry_run, uint64_t *ret_bytes,
		struct error *err) MUST_USE;
