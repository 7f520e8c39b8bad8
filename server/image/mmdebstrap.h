/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the image `debian` that tests look at. */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

enum { DEBIAN_SUITE_MAX = 48, DEBIAN_SOURCES_MAX = 8192 };

/* The target's lines of "apt-get indextargets" in the format that debian_targets_format names. */
extern const char debian_targets_format[];

/*
 * One-line apt sources for everything from Debian in those lines whose suite is `suite` or begins
 * with it and '-' (updates, security). ERR_UNAVAILABLE when there is none.
 */
int debian_sources(const char *targets, const char *suite, char *ret_sources, size_t size,
		   struct error *err) MUST_USE;

/* VERSION_CODENAME of an os-release file. */
int debian_codename(const char *os_release, char ret_suite[DEBIAN_SUITE_MAX],
		    struct error *err) MUST_USE;

/* The stage that a line of mmdebstrap's log begins; NULL: none. */
const char *debian_stage(const char *line);
