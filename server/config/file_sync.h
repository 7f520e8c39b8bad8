/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests get from the host's files at each start, by the section [file_sync] of banger.conf:
 *     ~/.config/gh = ~/.config/gh
 *     ~/bin/tool = /root/bin/tool 0755
 */
#pragma once

#include <sys/types.h>

#include "lib/base/error.h"

enum { FILE_SYNC_MAX = 32, FILE_SYNC_PATH_MAX = 512 };

struct file_sync {
	char host[FILE_SYNC_PATH_MAX];  /* absolute, or "~/…" */
	char guest[FILE_SYNC_PATH_MAX]; /* relative to root's home, /root */
	mode_t mode;                    /* of a single file */
};

/* Checks one line. ERR_INVALID says what is wrong with it. */
int file_sync_parse(const char *host, const char *value, struct file_sync *ret,
		    struct error *err) MUST_USE;
