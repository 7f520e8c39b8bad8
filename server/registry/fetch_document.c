/* SPDX-License-Identifier: Apache-2.0 */
/* A download that ends in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/registry/fetch.h"

static int document_begin(void *data, uint64_t *ret_have, struct error *err)
{
	struct buf *b = data;

	(void)err;
	buf_consume(b, buf_len(b));
	*ret_have = 0;
	return 0;
}

static int document_rewind(void *data, struct error *err)
{
	uint64_t ignored;

	return document_begin(data, &ignored, err);
}

static int document_write(void *data, const void *bytes, size_t len, struct error *err)
{
	int r = buf_append(data, bytes, len);

	return r < 0 ? error_errno(err, r, "take a document") : 0;
}

static int document_end(void *data, struct error *err)
{
	int r = buf_append(data, "", 1);

	return r < 0 ? error_errno(err, r, "take a document") : 0;
}

int fetch_document(struct registry *registry, const struct fetch *what, char **ret_text,
		   size_t *ret_len, struct error *err)
{
	static const struct fetch_sink sink = { .begin = document_begin,
						.rewind = document_rewind,
						.write = document_write,
						.end = document_end };
	struct buf b CLEANUP(buf_done) = { 0 };
	autofree struct fetch *fetch = malloc(sizeof(*fetch));
	int r;

	buf_init(&b, what->max + 1);
	if (!fetch)
		return error_errno(err, -ENOMEM, "take a document");
	*fetch = *what;
	fetch->sink = &sink;
	fetch->data = &b;
	r = fetch_all(registry, fetch, 1, err);
	if (r < 0)
		return r;
	*ret_len = buf_len(&b) - 1;
	*ret_text = malloc(buf_len(&b));
	if (!*ret_text)
		return error_errno(err, -ENOMEM, "take a document");
	memcpy(*ret_text, buf_bytes(&b), buf_len(&b));
	return 0;
}
