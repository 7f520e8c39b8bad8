/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for files and folders of the guest: file.c, file_put.c, file_condition.c and folder.c.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "agent/service/service.h"

#define FILE_PREFIX "/files/" /* of a request's path */

enum {
	FILE_HEADERS = 9,
	FILE_HEADER_TEXT = 80,
	FILE_OWN_MAX = 64 * 1024, /* bytes that are read or written without a process */
};

void file_get(struct agent *agent, struct link_stream *stream);
void file_head(struct agent *agent, struct link_stream *stream);
void file_put(struct agent *agent, struct link_stream *stream);
void file_delete(struct agent *agent, struct link_stream *stream);

/* tree.c: folders as tar streams. */
void tree_get(struct agent *agent, struct link_stream *stream);
void tree_put(struct agent *agent, struct link_stream *stream);

/*
 * Holds the file, or where `follow` is false the link that it is, against If-Match and
 * If-None-Match of the request. 0, or a negative errno with *err saying which version it has.
 */
int file_check_condition(const struct link_stream *stream, const char *path, bool follow,
			 struct error *err);

/* Replies {"entries": […], "truncated": bool} for the open folder. */
void folder_list(struct link_stream *stream, int dir_fd);

/* "file", "dir", "link", "fifo", "socket", "char" or "block". */
const char *file_type_name(mode_t mode);

/* The file's version, without quotes. */
void file_etag(const struct stat *st, char ret_etag[FILE_HEADER_TEXT]);

/* Ends the request with "<what> <path>: <reason>"; `r` is a negative errno. */
void file_error(struct link_stream *stream, int r, const char *what, const char *path);

/* The fields that describe a file, without size and tag where they say nothing; `text` keeps the
 * numbers. Returns how many. */
size_t file_describe(const struct stat *st, bool made_up, struct link_header headers[FILE_HEADERS],
		     char text[FILE_HEADERS][FILE_HEADER_TEXT]);
