/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 16 };

int ring_push(struct ring *r, const void *element)
{
	if (r->n < r->max && r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : FIRST;
		char *bigger;

		if (cap > r->max)
			cap = r->max;
		bigger = reallocarray(r->v, cap, r->size);
		if (!bigger)
			return -ENOMEM;
		r->v = bigger;
		r->cap = cap;
	}
	if (r->n < r->max) {
		memcpy(r->v + r->n++ * r->size, element, r->size);
		return 0;
	}
	memcpy(r->v + r->next * r->size, element, r->size);
	r->next = (r->next + 1) % r->max;
	return 0;
}

const void *ring_at(const struct ring *r, size_t i)
{
	return i < r->n ? r->v + (r->next + i) % r->n * r->size : NULL;
}

const void *ring_last(const struct ring *r)
{
	return r->n ? ring_at(r, r->n - 1) : NULL;
}

void ring_done(struct ring *r)
{
	free(r->v);
	*r = (struct ring){ .size = r->size, .max = r->max };
}
