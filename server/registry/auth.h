/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to 401: a token from the realm that the registry names, or the credentials. */
#pragma once

#include "server/registry/fetch.h"

struct challenge {
	bool bearer; /* else basic */
	char realm[1024];
	char service[256];
	char scope[512];
};

/* The value of WWW-Authenticate. */
int challenge_parse(const char *text, struct challenge *ret_challenge, struct error *err) MUST_USE;

/* Fills registry->token. ERR_UNAUTHENTICATED when nothing that we have is accepted. */
int registry_authorize(struct registry *registry, const char *challenge,
		       struct error *err) MUST_USE;
