/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one client may hold. A connection has REQUEST_TIME_S from its start, or from the end of its
 * last request, to send a whole request (an upload: its headers); trickling bytes do not prolong
 * it. When a listener is nearly full the connection that has idled longest gives way. Requests that
 * change something are limited in number for each caller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/loop/loop.h"

enum { REQUEST_TIME_S = 75, CHANGES_PER_S = 2000, CHANGES_BURST = 4000, CALLERS_MAX = 64 };

/* A connection, from accept to close. */
struct http_request;

struct client {
	struct clients *owner;
	struct client *prev, *next; /* among those that we wait for; self-linked when not */
	int64_t deadline_us;
	uid_t uid; /* of the peer, on the unix socket */
	int fd;    /* borrowed */
	/* Its target has been read, its headers have not: libmicrohttpd says nothing when such a
	 * request breaks off. Owned by server.c, not by client_free(). */
	struct http_request *unseen;
};

/* The connections of one listener. */
struct clients {
	struct loop *loop;
	struct loop_timer *timer;
	struct client waiting; /* ring, the oldest first */
	unsigned int n, max;
	unsigned int most; /* at once, since memory was last given back */
	int64_t request_time_us;
};

int clients_init(struct clients *clients, struct loop *loop, unsigned int max,
		 int64_t request_time_us) MUST_USE;
void clients_done(struct clients *clients);

/* NULL when out of memory. */
struct client *client_new(struct clients *clients, int fd, uid_t uid);
void client_free(struct client *client);
/* Its request is complete: it may take its time now. */
void client_busy(struct client *client);
/* We wait for its next request. */
void client_idle(struct client *client);

/* Tokens of one caller, in thousandths. */
struct bucket {
	char who[80];
	int64_t level;
	int64_t at_us;
};

struct rates {
	struct bucket callers[CALLERS_MAX];
};

/* False when the caller has sent too many changes; *ret_wait_s is when to try again. */
bool rates_take(struct rates *rates, const char *who, int64_t now_us, int *ret_wait_s);
