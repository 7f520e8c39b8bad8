/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for images and kernels that are not here yet, and where they come from: a few of ours, and
 * those of the owner's file, <config>/catalog.list, which come first. A line there is
 *
 *     image NAME REFERENCE        image tools ghcr.io/org/tools@sha256:…
 *     kernel NAME URL SHA256      kernel small https://example.org/vmlinux 0f3c…
 *     kernel NAME REFERENCE       kernel small ghcr.io/org/kernel@sha256:0f3c…
 *
 * and what follows '#' is a comment. The file is read each time, so a change needs no restart.
 */
#pragma once

#include "lib/base/error.h"
#include "lib/digest/digest.h"

enum { NAMES_FILE_MAX = 256 * 1024, NAMES_MAX = 2000 };

enum name_kind { NAME_IMAGE, NAME_BUILT_IMAGE, NAME_KERNEL };

struct catalog_name {
	enum name_kind kind;
	char name[128];
	char source[2049];           /* a reference, a builder's word, or a URL */
	char sha256[DIGEST_HEX + 1]; /* of a kernel's URL; "": the source is a reference */
	bool pinned;                 /* by a digest: it always means the same */
	bool own;                    /* of the owner's file */
};

/* Returns 0 to go on, anything else to end: it is returned. */
typedef int catalog_name_fn(const struct catalog_name *name, void *data);

/* The owner's file; both texts are borrowed. */
struct names {
	const char *file;   /* absolute path; there may be none */
	const char *sha256; /* what it must have, 64 digits; NULL or "": it may be any */
};

/* ERR_INVALID names the line of the file that is wrong, or says that it is not the file that it
 * must be. */
int names_each(const struct names *names, catalog_name_fn *fn, void *data,
	       struct error *err) MUST_USE;
/* 1 and the name, or 0: there is none. */
int names_find(const struct names *names, bool kernel, const char *name,
	       struct catalog_name *ret_name, struct error *err) MUST_USE;
