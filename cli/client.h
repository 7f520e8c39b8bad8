/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST API over libcurl: requests on a unix socket or TCP, one at a time or several at once,
 * whole or streamed. SIGINT, SIGTERM and SIGHUP end a request under way with ERR_CANCELLED and are
 * remembered; a request made afterwards runs as usual, so that clean-up can be done.
 *
 * One thread. What the server sends is bounded: CLIENT_BODY_MAX bytes of a whole body.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

enum { CLIENT_BODY_MAX = 64 * 1024 * 1024 };

struct client;

/* Takes a piece of a streamed body. Returning a negative number breaks the request off. */
typedef int client_data_fn(void *data, const char *bytes, size_t len);

/* Gives the next bytes of a body, at most `max`. Returns how many, 0 at its end, or a negative
 * number to break the request off. */
typedef ssize_t client_read_fn(void *data, char *to, size_t max);

struct client_request {
	const char *method;
	const char *path;        /* "/vms?limit=1"; names in it already escaped */
	const json_t *body;      /* NULL: none */
	const char *accept;      /* NULL: JSON */
	int wait_s;              /* Prefer: wait=N; 0: not sent */
	int timeout_s;           /* for all of it; 0: as long as it takes */
	bool finish;             /* a signal is remembered, and only the second one ends it: for
				    requests whose answer has to be known */
	client_data_fn *on_data; /* takes the body of a 2xx reply; NULL: it is kept whole */
	void *data;
	client_read_fn *on_read; /* body of bytes, in place of `body`; NULL: none */
	void *read_data;
	const char *content_type; /* of it */
	int64_t length;           /* of it; -1: not known */
};

struct client_reply {
	int status;
	char location[512]; /* "" without one */
	char file_type[8];  /* of a file of a guest: "file", "dir", …; "" where nothing is said */
	char file_mode[8];  /* octal */
	json_t *json;       /* owned; NULL when the body is no JSON */
	char *text;         /* owned; the body as it came, NUL-terminated; NULL when streamed */
	size_t text_len;
	int exit_code; /* of the trailer Banger-Exit-Code; -1 without */
};

void client_reply_done(struct client_reply *reply);

/*
 * `address`: the path of a unix socket (also as unix:PATH), or an http:// address. `token` is sent
 * as a bearer token; NULL: none. Blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT of the calling thread.
 */
int client_new(const char *address, const char *token, struct client **ret_client,
	       struct error *err) MUST_USE;
/* Another one for the same server and with the same token, for a thread of its own: no signal ends
 * its requests. */
int client_new_quiet(const struct client *like, struct client **ret_client,
		     struct error *err) MUST_USE;
void client_free(struct client *client);
const char *client_address(const struct client *client);

/* 0 when the server answered, whatever the status. ERR_UNAVAILABLE when nobody listens. */
int client_do(struct client *client, const struct client_request *request,
	      struct client_reply *ret_reply, struct error *err) MUST_USE;

/* All at once; errs[i].code is ERR_NONE where replies[i] is filled. */
void client_do_all(struct client *client, const struct client_request *requests,
		   struct client_reply *replies, struct error *errs, size_t n);

/* The last signal that came, or 0. */
int client_signal(const struct client *client);

/* A descriptor that is readable when a signal has come; client_sleep_ms() takes it. */
int client_signal_fd(const struct client *client);

/* A connection to the server for something else than a request; blocking. */
int client_connect(struct client *client, int *ret_fd, struct error *err) MUST_USE;
/* Value of the Host header, and the Authorization line (NULL: none) for it. */
const char *client_host(const struct client *client);
const char *client_authorization(const struct client *client);

/* Sleeps, and wakes up for a signal. Returns 0 or -ECANCELED. */
int client_sleep_ms(struct client *client, int ms);

/* "a/b c" -> "a%2Fb%20c"; the caller frees. NULL when out of memory. */
char *client_escape(const char *s);
