/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NDJSON frames of an exec: output goes to two descriptors as it comes, the last frame is kept.
 * A line is at most FRAME_MAX bytes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/error.h"

enum { FRAME_MAX = 4 * 1024 * 1024 };

struct frames {
	int stdout_fd;
	int stderr_fd;
	struct buf line;
	uint64_t offset; /* behind the last byte, of output that has offsets */
	bool ended;      /* the last frame has come */
	int exit_code;   /* 0 to 255, or 128 + signal; of the frame `exit` */
	bool timed_out;
	json_t *problem;    /* owned; of the frame `error` */
	struct error error; /* code != ERR_NONE: the stream is broken or output can't be written */
};

void frames_init(struct frames *frames, int stdout_fd, int stderr_fd);
void frames_done(struct frames *frames);

/* client_data_fn: takes a piece of the stream. */
int frames_take(void *data, const char *bytes, size_t len);

/* The stream broke off and is taken up at `offset`: what there is of a line is dropped. */
void frames_restart(struct frames *frames);
