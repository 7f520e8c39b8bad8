/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"

enum { BUF_MIN = 256, BUF_KEEP = 64 * 1024 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	size_t unread = buf_len(b);
	size_t cap = b->cap ? b->cap : BUF_MIN;
	size_t need;
	uint8_t *data;

	if (__builtin_add_overflow(unread, len, &need) || need > b->max)
		return NULL;
	if (b->cap - b->end >= len)
		return b->data + b->end;
	if (b->start > 0) {
		memmove(b->data, b->data + b->start, unread);
		b->start = 0;
		b->end = unread;
		if (b->cap - b->end >= len)
			return b->data + b->end;
	}
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return NULL;
	b->data = data;
	b->cap = cap;
	return b->data + b->end;
}

void buf_commit(struct buf *b, size_t len)
{
	assert(len <= b->cap - b->end);
	b->end += len;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	uint8_t *room;

	if (len == 0)
		return 0;
	room = buf_reserve(b, len);
	if (!room)
		return buf_len(b) + len > b->max ? -ENOBUFS : -ENOMEM;
	memcpy(room, data, len);
	b->end += len;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s = NULL;
		return -ENOMEM;
	}
	return buf_append(b, s, (size_t)n);
}

void buf_consume(struct buf *b, size_t len)
{
	assert(len <= buf_len(b));
	b->start += len;
	if (b->start < b->end)
		return;
	b->start = 0;
	b->end = 0;
	if (b->cap > BUF_KEEP) {
		free(b->data);
		b->data = NULL;
		b->cap = 0;
	}
}
