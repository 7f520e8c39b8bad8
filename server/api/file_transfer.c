/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/file_transfer.h"

#include <stdio.h>
#include <stdlib.h>

enum { LISTING_MAX = 4 * 1024 * 1024 };

/* The path as the guest has it: absolute. The caller frees. */
static char *guest_path(const struct http_request *req)
{
	char *path = NULL;

	return asprintf(&path, "/%s", http_param(req, "path")) < 0 ? NULL : path;
}

void file_transfer_free(struct file_transfer *t)
{
	buf_done(&t->listing);
	free(t->path);
	free(t->if_match);
	free(t->if_none_match);
	free(t);
}

struct file_transfer *file_transfer_new(struct http_request *req)
{
	struct file_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct file_transfer){ .req = req,
				     .path = guest_path(req),
				     .tar = api_query_bool(req, "tar", false),
				     .range = GUEST_RANGE_ALL };
	buf_init(&t->listing, LISTING_MAX);
	if (t->path)
		return t;
	file_transfer_free(t);
	return NULL;
}

void file_plain_etag(const struct guest_file_info *info, char ret[sizeof(info->etag)])
{
	size_t n = strlen(info->etag);

	ret[0] = '\0';
	if (n > 2 && info->etag[0] == '"' && strchr(info->etag + 1, '"') == info->etag + n - 1)
		(void)snprintf(ret, sizeof(info->etag), "%.*s", (int)n - 2, info->etag + 1);
}

void file_tell_etag(struct file_transfer *t, const struct guest_file_info *info)
{
	char etag[sizeof(info->etag)];
	char quoted[sizeof(etag) + 2];

	file_plain_etag(info, etag);
	if (!etag[0])
		return;
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
	http_reply_header(t->req, "ETag", quoted);
}

void file_client_gone(void *data)
{
	struct file_transfer *t = data;

	guest_stream_abort(t->guest);
	file_transfer_free(t);
}

void file_note_info(void *data, const struct guest_file_info *info)
{
	struct file_transfer *t = data;

	t->info = *info;
}
