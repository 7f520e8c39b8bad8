/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/output.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/link/protocol.h"

enum { PIECES_MIN = 8 };

void output_init(struct output *o)
{
	*o = (struct output){ .base = 0 };
	buf_init(&o->bytes, LINK_EXEC_OUTPUT_MAX);
}

void output_done(struct output *o)
{
	buf_done(&o->bytes);
	free(o->pieces);
	o->pieces = NULL;
	o->first = o->n = o->cap = 0;
}

uint64_t output_end(const struct output *o)
{
	return o->base + buf_len(&o->bytes);
}

static bool continues(const struct output *o, bool is_stderr)
{
	return o->n > 0 && o->pieces[o->first + o->n - 1].is_stderr == is_stderr;
}

size_t output_room(const struct output *o, bool is_stderr)
{
	if (o->n == OUTPUT_PIECES_MAX && !continues(o, is_stderr))
		return 0;
	return LINK_EXEC_OUTPUT_MAX - buf_len(&o->bytes);
}

/* Makes room for one more piece. */
static bool grow(struct output *o)
{
	size_t cap = o->cap ? 2 * o->cap : PIECES_MIN;
	struct output_piece *pieces;

	if (o->first + o->n < o->cap)
		return true;
	if (o->first > 0) {
		memmove(o->pieces, o->pieces + o->first, o->n * sizeof(*o->pieces));
		o->first = 0;
		return true;
	}
	pieces = reallocarray(o->pieces, cap, sizeof(*pieces));
	if (!pieces)
		return false;
	o->pieces = pieces;
	o->cap = cap;
	return true;
}

uint8_t *output_reserve(struct output *o, size_t len, bool is_stderr)
{
	if (!continues(o, is_stderr) && !grow(o))
		return NULL;
	return buf_reserve(&o->bytes, len);
}

void output_added(struct output *o, size_t len, bool is_stderr)
{
	if (len == 0)
		return;
	buf_commit(&o->bytes, len);
	if (!continues(o, is_stderr))
		o->pieces[o->first + o->n++].is_stderr = is_stderr;
	o->pieces[o->first + o->n - 1].end = output_end(o);
}

size_t output_peek(const struct output *o, uint64_t offset, size_t max, const uint8_t **ret_bytes,
		   bool *ret_is_stderr)
{
	size_t low = o->first;
	size_t high = o->first + o->n;
	uint64_t len;

	if (offset < o->base || offset >= output_end(o))
		return 0;
	while (low < high) { /* the first piece that ends behind the offset */
		size_t middle = low + (high - low) / 2;

		if (o->pieces[middle].end > offset)
			high = middle;
		else
			low = middle + 1;
	}
	len = o->pieces[low].end - offset;
	*ret_bytes = buf_bytes(&o->bytes) + (offset - o->base);
	*ret_is_stderr = o->pieces[low].is_stderr;
	return len < max ? (size_t)len : max;
}

int output_drop(struct output *o, uint64_t offset)
{
	if (offset > output_end(o))
		return -ERANGE;
	if (offset <= o->base)
		return 0;
	buf_consume(&o->bytes, (size_t)(offset - o->base));
	o->base = offset;
	while (o->n > 0 && o->pieces[o->first].end <= offset) {
		o->first++;
		o->n--;
	}
	if (o->n == 0)
		o->first = 0;
	return 0;
}
