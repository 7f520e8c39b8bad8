/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON through jansson: strict parsing and table-driven decoding into structs. References follow
 * jansson's own words: "borrowed" values live as long as the document they come from.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

/* Owning local: `json_auto_t *x` is jansson's own; it drops the reference at the end of the scope.
 */

/* Deepest nesting and most bytes that json_parse() accepts. */
enum { JSON_DEPTH_MAX = 64, JSON_BYTES_MAX = 4 * 1024 * 1024 };

/* Parses one document; duplicate keys and trailing bytes are refused. New reference, or NULL with
 * err set. */
json_t *json_parse(const char *data, size_t len, struct error *err) MUST_USE;

/* JSON Schema makes no difference between 8 and 8.0: reals that are whole become integers. Steals
 * `value`, of json_parse(), and returns it or what stands in its place. */
json_t *json_make_whole(json_t *value);

/* Compact text, or with line breaks and indented by two; NUL-terminated, the caller frees. NULL
 * when out of memory. */
char *json_text(const json_t *value) MUST_USE;
char *json_text_indented(const json_t *value) MUST_USE;

enum json_kind {
	JSON_FIELD_STRING, /* const char *, borrowed */
	JSON_FIELD_BOOL,   /* bool */
	JSON_FIELD_U32,    /* uint32_t */
	JSON_FIELD_I64,    /* int64_t */
	JSON_FIELD_VALUE,  /* const json_t *, borrowed: arrays and objects */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	size_t offset; /* offsetof() in the struct that is filled */
	bool required;
};

/*
 * Fills the fields that are there and leaves the others as they were; null counts as absent. Names
 * that are not in the table are refused. *err names the field as a JSON pointer.
 */
int json_decode(const json_t *object, const struct json_field *fields, size_t n_fields,
		void *ret_struct, struct error *err) MUST_USE;
