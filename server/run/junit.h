/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test reports in the tar archive of an artefact, while it goes by: each .xml file with a
 * <testsuite> is counted, not parsed. What a job leaves is hostile: names and files have limits,
 * and what can't be read is no report.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct junit;

enum { JUNIT_FILES_MAX = 64, JUNIT_FILE_BYTES = 4 * 1024 * 1024 };

/* `reports` (borrowed) gets an object {path, tests, failures, errors, skipped} for each, with the
 * path as in the archive; never more than JUNIT_FILES_MAX. NULL when out of memory. */
struct junit *junit_new(json_t *reports);
void junit_free(struct junit *junit);
/* The next bytes of the archive. */
void junit_feed(struct junit *junit, const void *bytes, size_t len);
