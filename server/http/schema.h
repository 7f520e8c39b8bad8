/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schema, as much of it as the OpenAPI document uses: compiled once at start, then applied to
 * every request. A keyword that the compiler does not know stops the start, so nothing in the
 * document can be ignored by mistake.
 *
 * Known: type, enum, const, minimum, maximum, minLength, maxLength, pattern (extended POSIX; wants
 * a maxLength), format (date-time, int32, int64), items, minItems, maxItems, properties, required,
 * additionalProperties, propertyNames, minProperties, maxProperties,
 * dependentRequired, oneOf, anyOf, allOf, $ref. A whole number has come as an integer; see
 * json_make_whole().
 */
#pragma once

#include <jansson.h>

#include "lib/base/error.h"

struct schema;
struct schema_set;

enum { VIOLATIONS_MAX = 32 };

/* What was wrong with a value. All zero at first; violations_done() frees. */
struct violations {
	json_t *list; /* array of {pointer, detail, remedy}; NULL while there is none */
	size_t count; /* all of them, also those that are not in the list */
};

void violations_done(struct violations *v);
/* `remedy` may be NULL. */
void violations_add(struct violations *v, const char *pointer, const char *detail,
		    const char *remedy);

/* `root` is the whole document, for $ref; it must be there while schemas are compiled, no longer.
 */
int schema_set_new(const json_t *root, struct schema_set **ret_set) MUST_USE;
/* The same text, as long as the set is there; NULL: out of memory, or `text` is NULL. */
const char *schema_keep_text(struct schema_set *set, const char *text);
void schema_set_free(struct schema_set *set);

/* Compiles one schema; *ret_schema belongs to the set. `where` says which one in errors. */
int schema_compile(struct schema_set *set, const json_t *node, const char *where,
		   const struct schema **ret_schema, struct error *err) MUST_USE;

/* True when the value is valid; else the reasons are added to `v`. */
bool schema_validate(const struct schema *schema, const json_t *value, struct violations *v);

/*
 * A parameter's text as the value that the schema asks for: "3" is an integer for an integer
 * schema. Text that is not such a value stays a string, which the validation then refuses. New
 * reference.
 */
json_t *schema_parse_text(const struct schema *schema, const char *text);

/* True when the schema wants no more than text of some length and this is such: most headers,
 * without a value being made of them. False: not known. */
bool schema_is_short_text(const struct schema *schema, const char *text);

/* True when the schema (or what it refers to) is of type array. */
bool schema_is_array(const struct schema *schema);
const struct schema *schema_items(const struct schema *schema);
