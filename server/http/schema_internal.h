/* SPDX-License-Identifier: Apache-2.0 */
/* What schema_compile.c makes and schema.c applies. */
#pragma once

#include <regex.h>
#include <stdint.h>

#include "server/http/schema.h"

enum schema_type {
	TYPE_NULL = 1,
	TYPE_BOOLEAN = 2,
	TYPE_INTEGER = 4,
	TYPE_NUMBER = 8,
	TYPE_STRING = 16,
	TYPE_ARRAY = 32,
	TYPE_OBJECT = 64,
};

enum schema_format { FORMAT_NONE, FORMAT_DATE_TIME, FORMAT_INT32, FORMAT_INT64 };

struct schema_property {
	const char *name;            /* borrowed from the document */
	const struct schema *schema; /* NULL: anything */
	bool required;
};

/* dependentRequired: `name` may be there only with `needs`. */
struct schema_dependent {
	const char *name;
	const char *needs;
};

struct schema_list {
	const struct schema **items;
	size_t n;
};

struct schema {
	struct schema *next; /* of the set */
	unsigned int types;  /* of enum schema_type; 0: any */
	const struct schema *ref;
	const json_t *one_of_values; /* enum */
	const json_t *constant;
	double minimum, maximum;
	size_t min_length, max_length;
	size_t min_items, max_items;
	size_t min_properties, max_properties;
	regex_t pattern;
	bool has_pattern;
	const char *pattern_text;
	enum schema_format format;
	const struct schema *items;
	struct schema_property *properties; /* sorted by name */
	size_t n_properties;
	size_t n_required;
	struct schema_dependent *dependents;
	size_t n_dependents;
	bool closed;                     /* additionalProperties: false */
	const struct schema *additional; /* NULL: anything */
	const struct schema *property_names;
	struct schema_list one_of, any_of, all_of;
	const char *remedy;
};

struct schema_ref {
	struct schema_ref *next;
	const char *target;
	const struct schema *schema;
};

struct schema_set {
	const json_t *root; /* NULL: no more to compile */
	json_t *texts;      /* an object: its keys are the texts that are kept */
	json_t *values;     /* an array of those of enum and const */
	struct schema *first;
	struct schema_ref *refs;
};

const struct schema_property *schema_property(const struct schema *s, const char *name);
/* "a string", "null or a whole number" */
void schema_type_words(unsigned int mask, char *buf, size_t size);

enum { SCHEMA_TEXT_MAX = 384 };

/* The way to a value: a list through the callers' stack frames. It becomes a JSON pointer only when
 * there is something to say. */
struct schema_way {
	const struct schema_way *up;
	const char *key; /* NULL: index */
	size_t index;
};

struct schema_check {
	struct violations *v;
	const struct schema_way *way;
};

/* Adds what is wrong at that place; returns false. */
bool schema_bad(const struct schema_check *c, const char *remedy, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
