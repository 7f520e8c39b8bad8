/* SPDX-License-Identifier: Apache-2.0 */
/* What reading (files.c) and changing (file_change.c) a guest's files have in common. */
#pragma once

#include "lib/base/buf.h"
#include "server/api/handlers.h"

struct file_transfer {
	struct http_request *req; /* until a stream begins or the reply is sent */
	struct http_stream *stream;
	struct guest_stream *guest;
	struct guest *at; /* good while `guest` is there */
	char *path;
	bool tar;
	char *if_match; /* of a change; NULL: none; likewise if_none_match */
	char *if_none_match;
	bool ranged;
	struct guest_range range;
	bool folder; /* its listing is collected in `listing` */
	struct buf listing;
	struct guest_file_info info; /* for HEAD, and of what was written */
};

/* NULL: out of memory. The parameters `path` and `tar` are read. */
struct file_transfer *file_transfer_new(struct http_request *req);
void file_transfer_free(struct file_transfer *t);

/* The agent's tag without its quotes; "" for none, or for one that has not its form. */
void file_plain_etag(const struct guest_file_info *info, char ret[sizeof(info->etag)]);
/* As the reply's ETag. */
void file_tell_etag(struct file_transfer *t, const struct guest_file_info *info);

/* For http_on_gone() and the like: breaks the transfer off and frees it. */
void file_client_gone(void *data);
/* ready() of struct guest_stream_callbacks: kept in `info`. */
void file_note_info(void *data, const struct guest_file_info *info);
