/* SPDX-License-Identifier: Apache-2.0 */
/* From an error code to what HTTP says: status, title, remedy, and the page that explains it. */
#pragma once

#include <jansson.h>

#include "lib/base/error.h"

struct problem_kind {
	int status;
	const char *title;
	const char *remedy;  /* general; one that knows the case goes before it */
	const char *explain; /* for the page */
};

const struct problem_kind *problem_kind(enum error_code code);
/* ERROR_CODE_MAX_ for a name that no code has. */
enum error_code problem_code_parse(const char *name);

/*
 * An RFC 9457 document. `operation` and `errors` (borrowed: array as made by violations) may be
 * NULL; `more` says that there were more errors than are listed. New reference, NULL when out of
 * memory.
 */
json_t *problem_to_json(const struct error *err, const char *operation, json_t *errors, bool more);

/* The same for people: a few lines of text; the caller frees. NULL when out of memory. */
char *problem_to_text(const json_t *problem);
/* Every kind: an array of {code, status, title, remedy, meaning}. New reference. */
json_t *problem_catalogue(void);
/* The page about one code; the caller frees. */
char *problem_page(enum error_code code);
