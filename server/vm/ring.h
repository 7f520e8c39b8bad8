/* SPDX-License-Identifier: Apache-2.0 */
/* The newest of many elements of one size: it grows as it is filled, never beyond its bound. */
#pragma once

#include <stddef.h>

#include "lib/base/macro.h"

struct ring {
	char *v;
	size_t size; /* bytes of an element */
	size_t n;    /* kept */
	size_t cap;  /* allocated */
	size_t max;  /* at most; > 0 */
	size_t next; /* where the next one goes, once n == max */
};

/* Copies the element; drops the oldest when it is full. 0 or -ENOMEM, with the ring as it was. */
int ring_push(struct ring *ring, const void *element) MUST_USE;
/* By age, 0 is the oldest; NULL behind the last. Borrowed until the next ring_push(). */
const void *ring_at(const struct ring *ring, size_t i);
/* The newest; NULL when there is none. */
const void *ring_last(const struct ring *ring);
/* Empty again, with the same bounds. */
void ring_done(struct ring *ring);
