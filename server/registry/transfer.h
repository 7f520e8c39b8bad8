/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GET on its way: its request, what its reply says, and what becomes of it: done, redirected,
 * asked for credentials, tried once more, or given up.
 */
#pragma once

#include <curl/curl.h>
#include <inttypes.h>

#include "server/registry/fetch.h"

enum transfer_state { TRANSFER_NEW, TRANSFER_RUNNING, TRANSFER_WAITING, TRANSFER_DONE };

struct transfer {
	struct registry *registry;
	struct fetch *fetch;
	struct error *err; /* of the whole batch */
	CURL *easy;
	struct curl_slist *headers;
	enum transfer_state state;
	char url[FETCH_URL_MAX];
	bool at_registry; /* the URL is the registry's own */
	bool asked_for;   /* it is what was asked for, not what we were sent to */
	bool by_proxy;
	unsigned int redirects;
	unsigned int challenges;
	unsigned int tries;     /* in a row that brought nothing */
	unsigned int all_tries; /* a registry that cuts each reply short is not asked for ever */
	unsigned int token_age; /* of the token that went with it */
	int64_t wake_us;        /* when it is tried again */
	uint64_t have;          /* bytes that the sink has */
	uint64_t furthest;      /* the most that it had when an attempt ended */
	int sink_result;
	bool in_body;
	bool refused_address;
	/* from the reply */
	char location[FETCH_URL_MAX];
	char challenge[2048];
	char range[128];
	unsigned int retry_after_s;
	char why[CURL_ERROR_SIZE];
};

/* Begins an attempt, from where the sink has got to. */
int transfer_begin(struct transfer *t, CURLM *multi, struct error *err) MUST_USE;
/* Its request has ended, and is off `multi`: a new one has begun, or t->state says what it waits
 * for. */
int transfer_ended(struct transfer *t, CURLM *multi, CURLcode code, struct error *err) MUST_USE;
/* Releases what it holds. */
void transfer_done(struct transfer *t, CURLM *multi);
