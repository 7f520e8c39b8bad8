/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request target taken apart: path segments and query parameters, each percent-decoded by
 * itself, so that an escaped slash stays inside its segment. What could be read in two ways is
 * refused: a bad escape, a NUL, "." and "..". Names of files in a guest are bytes of any kind, so
 * escaped control characters and what is not UTF-8 are told, and refused elsewhere.
 */
#pragma once

#include "lib/base/error.h"

enum { URI_LEN_MAX = 8192, URI_SEGMENTS_MAX = 64, URI_QUERY_MAX = 64 };

struct uri_pair {
	const char *name;
	const char *value;
};

struct uri {
	char *storage;
	char *target; /* as sent */
	char *path;   /* as sent, without the query */
	const char *segments[URI_SEGMENTS_MAX];
	const char *rest[URI_SEGMENTS_MAX]; /* where each segment begins in `path` */
	size_t n_segments;
	size_t n_text; /* of the segments, from the first on: UTF-8 without control characters */
	struct uri_pair query[URI_QUERY_MAX];
	size_t n_query;
	const char *query_bad; /* the first parameter that is none; NULL: all of it is, too */
};

/* `target` in origin form ("/vms?limit=3"). A trailing slash does not count. *ret_uri is empty when
 * it fails. */
int uri_parse(const char *target, struct uri *ret_uri, struct error *err) MUST_USE;
void uri_done(struct uri *uri);

/* The first value of a query parameter, or NULL. */
const char *uri_query(const struct uri *uri, const char *name);

/* Decodes in place; `plus` also turns "+" into a space. 0, or -EINVAL at a bad escape or NUL. */
int uri_decode(char *text, bool plus) MUST_USE;

/* The refusal of what is no text where it has to be; returns a negative errno. */
int uri_refuse_bytes(const char *what, struct error *err);
