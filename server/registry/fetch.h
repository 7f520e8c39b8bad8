/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET requests to a registry: several at a time, each with its redirects, its token and its
 * retries. A worker's own thread drives them (libcurl's multi interface); nothing outlives
 * fetch_all().
 *
 * Credentials go to the registry itself and to the realm that it names, never to where it
 * redirects. A redirect leads to https only (http where the registry itself is asked by http), and
 * to no address that is nearer than the registry's own (address.h).
 */
#pragma once

#include <stdint.h>

#include "server/ops/op.h"
#include "server/registry/address.h"
#include "server/registry/credentials.h"
#include "server/registry/reference.h"

enum { FETCH_URL_MAX = 4096, FETCH_TOKEN_MAX = 16384, FETCH_PARALLEL_MAX = 16 };

struct registry_settings {
	const char *insecure;      /* hosts with ',' between that are asked by http; may be NULL */
	const char *ca_file;       /* PEM, in place of the host's; NULL or "": the host's */
	const char *docker_config; /* folder of config.json; NULL: as credentials_find() */
	unsigned int parallel;     /* transfers at the same time */
	unsigned int tries;        /* of one transfer that gets nowhere */
	unsigned int backoff_ms;   /* before the second one; doubled then, up to 10 s */
	unsigned int stall_s;      /* at less than 1 KiB/s: the transfer is begun again */
};

#define REGISTRY_SETTINGS_INIT \
	((struct registry_settings){ .parallel = 4, .tries = 5, .backoff_ms = 500, .stall_s = 30 })

/* A registry, as the one who asks for one repository sees it. */
struct registry {
	struct registry_settings settings; /* its texts are borrowed */
	struct reference ref;
	struct op *op;
	char base[REFERENCE_HOST_MAX + 16]; /* "https://registry-1.docker.io" */
	bool plain;                         /* http is fine */
	enum address_reach reach;           /* its own; public behind a proxy */
	bool known_credentials;             /* looked for already */
	bool has_credentials;
	struct credentials credentials;
	char token[FETCH_TOKEN_MAX]; /* value of Authorization; "" for none yet */
	unsigned int token_age;      /* counts the tokens */
};

/* `registry` is large; it is filled in, and holds secrets: registry_done(). */
int registry_init(struct registry *registry, const struct registry_settings *settings,
		  const struct reference *ref, struct op *op, struct error *err) MUST_USE;
void registry_done(struct registry *registry);

/* The same of a reference ("python:3.12"), as the begin of the stage "resolve": for
 * CLEANUP(registry_close_p). */
int registry_open(const struct registry_settings *settings, const char *reference, struct op *op,
		  struct registry **ret_registry, struct error *err) MUST_USE;
void registry_close_p(struct registry **registry);

/* Where the bytes go. All return 0 or a negative errno with err set. */
struct fetch_sink {
	/* An attempt begins: *ret_have bytes are there already and need not come again. */
	int (*begin)(void *data, uint64_t *ret_have, struct error *err);
	/* They come again after all: from the first byte. */
	int (*rewind)(void *data, struct error *err);
	int (*write)(void *data, const void *bytes, size_t len, struct error *err);
	/* All are there. */
	int (*end)(void *data, struct error *err);
};

struct fetch {
	char path[FETCH_URL_MAX]; /* below the registry: "/v2/…"; or a whole URL */
	const char *accept;       /* NULL: anything */
	const char *what;         /* for errors: "manifest", "layer 3 of 5" */
	uint64_t max;             /* more bytes than this are refused */
	bool exact;               /* and fewer */
	bool own;        /* a whole URL, but what was asked for: it may be at any address */
	bool with_basic; /* the credentials themselves rather than a token: for the realm */
	const struct fetch_sink *sink;
	void *data;
};

/* Runs them all, at most `parallel` at once. The first error ends the rest. */
int fetch_all(struct registry *registry, struct fetch *fetches, size_t n,
	      struct error *err) MUST_USE;

/* One document of at most `max` bytes; the caller frees. It ends with a NUL that is not counted. */
int fetch_document(struct registry *registry, const struct fetch *what, char **ret_text,
		   size_t *ret_len, struct error *err) MUST_USE;
