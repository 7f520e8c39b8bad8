/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on real sockets, with handlers of the test's own on its own thread, and libcurl as the
 * client. The document is the real one.
 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/http/http.h"
#include "tests/unit/test.h"

enum { REPLY_MAX = 8 * 1024 * 1024 };

struct fixture {
	char dir[64];
	char socket_path[96];
	char web_root[96]; /* made on demand */
	struct loop *loop;
	struct http_server *server;
	pthread_t thread;
	/* Counted by handlers. */
	atomic_int gone;
	atomic_int waiting;
};
extern struct fixture fx;

/* Of the test. */
extern const struct http_handler test_handlers[];
extern const size_t test_handlers_n;
/* NULL: the document that is built in. */
extern const char *const test_document;
/* All zero: Idempotency-Key is not heeded. */
extern const struct http_replays test_replays;

int fixture_setup(void **state);
int fixture_teardown(void **state);
struct http_config fixture_config(void);
/* Waits, within reason, until the counter has the value. */
void wait_for(atomic_int *counter, int want);

struct call {
	const char *method;
	const char *path;
	const char *body;
	const char *headers[6];
	bool tcp;
};

struct reply {
	long status;
	struct buf body;
	struct buf headers;
};

/* Fails the test when there is no reply. reply_done() after. */
void perform(const struct call *call, struct reply *ret_reply);
void reply_done(struct reply *reply);
/* Status and a part of the body or headers; "" for any. */
void expect(const struct call *call, long status, const char *part);
#define EXPECT(status, part, ...) expect(&(struct call){ __VA_ARGS__ }, status, part)

int connect_unix(void);
int connect_tcp(void);
/* Sends the bytes as they are, and takes what comes back before the end or a pause. */
void raw(const char *request, char *reply, size_t size);
