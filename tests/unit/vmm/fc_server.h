/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a unix socket that answers each connection with bytes that it was told, to play how
 * Firecracker's API looks on the wire, and worse.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { FC_SERVER_ANSWERS = 4, FC_SERVER_HEARD = 4096 };

struct fc_server {
	/* Set these: the n-th connection gets answers[n]; NULL: nothing, until it is closed. */
	const char *answers[FC_SERVER_ANSWERS];
	size_t answer_lens[FC_SERVER_ANSWERS]; /* 0: the length of the string */
	bool byte_by_byte;

	/* What came in: the last request. */
	char heard[FC_SERVER_HEARD];

	char dir[64];
	int dir_fd;
	int listen_fd;
	int stop_fd;
	pthread_t thread;
};

/* Listens on `api.sock` in a new folder. */
void fc_server_start(struct fc_server *s);
void fc_server_stop(struct fc_server *s);
