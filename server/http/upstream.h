/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the reply of an HTTP/1.x server that is not to be trusted, a guest's: its head, and its
 * body without the framing. Bytes go in as they come; nothing is kept but the head, which has a
 * limit. Pure: no input or output.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"

enum {
	UPSTREAM_HEAD_MAX = 12 * 1024, /* bytes of the status line and the fields */
	UPSTREAM_FIELDS_MAX = 48,      /* of the final reply */
	UPSTREAM_INTERIM_MAX = 8,      /* replies of 1xx before it */
};

struct upstream_field {
	const char *name;
	const char *value; /* no control characters, no blanks around it */
};

enum upstream_state {
	UPSTREAM_IN_HEAD,
	UPSTREAM_IN_LENGTH, /* `left` bytes follow */
	UPSTREAM_IN_CHUNK_SIZE,
	UPSTREAM_IN_CHUNK,
	UPSTREAM_IN_CHUNK_END,
	UPSTREAM_IN_TRAILER,
	UPSTREAM_UNTIL_CLOSE,
	UPSTREAM_SWITCHED, /* 101: what follows is another protocol */
	UPSTREAM_OVER,
};

struct upstream {
	enum upstream_state state;
	bool head_only;   /* the reply to HEAD */
	bool may_switch;  /* an upgrade was asked for */
	struct buf bytes; /* of the head, then of a chunk's size or a trailer */
	unsigned int interim;
	int status;
	struct upstream_field fields[UPSTREAM_FIELDS_MAX]; /* point into `bytes` */
	size_t n_fields;
	bool shown; /* the head: it goes with the next call */
	uint64_t left;
	bool has_length;
	uint64_t length; /* of the body, where Content-Length says it */
};

enum upstream_event {
	UPSTREAM_MORE, /* all bytes are used up */
	UPSTREAM_HEAD, /* status and fields are there, until the next call */
	UPSTREAM_BODY, /* a piece of the body */
	UPSTREAM_END,  /* the reply is complete; what follows is not looked at */
};

void upstream_init(struct upstream *u, bool head_only, bool may_switch);
void upstream_done(struct upstream *u);

/*
 * Takes bytes from the front of *bytes and says what they were; call it until UPSTREAM_MORE or
 * UPSTREAM_END. *ret_piece and *ret_len are a part of the input, for UPSTREAM_BODY. Negative with
 * err set when it is no HTTP.
 */
int upstream_next(struct upstream *u, const uint8_t **bytes, size_t *len, const uint8_t **ret_piece,
		  size_t *ret_len, struct error *err) MUST_USE;

/* The other side has closed: was that the end of the reply? */
bool upstream_closed(const struct upstream *u);

/* Value of a field of the head, or NULL. */
const char *upstream_field(const struct upstream *u, const char *name);

/* A comma-separated list, as of Connection, has this token, without regard to case. */
bool upstream_list_has(const char *list, const char *token);
/* RFC 9110 section 7.6.1: a field for the next hop alone, by its name or since `connection`, the
 * value of Connection or NULL, names it. */
bool upstream_hop_by_hop(const char *name, const char *connection);
