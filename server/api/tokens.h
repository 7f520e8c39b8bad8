/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens in memory and in the store. A token is "bgr_" and 43 characters of base64url (256
 * random bits); only its SHA-256 is stored, and a few that were shown lately are in memory until
 * any is revoked. All on the loop's thread.
 */
#pragma once

#include <jansson.h>

#include "server/http/http.h"
#include "server/store/store.h"

struct tokens;

enum { TOKEN_TEXT_MAX = 64 };

int tokens_open(struct store *store, struct tokens **ret_tokens, struct error *err) MUST_USE;
void tokens_close(struct tokens *tokens);

/* Makes one; `text` (TOKEN_TEXT_MAX bytes) is the only time that the secret is seen. ttl_s 0: no
 * end. */
int tokens_create(struct tokens *tokens, const char *name, const char *scope, uint32_t ttl_s,
		  char *text, struct error *err) MUST_USE;
int tokens_revoke(struct tokens *tokens, const char *name, struct error *err) MUST_USE;
/* HTTP_SCOPE_NONE for an unknown or ended one; `principal` (sizeof(token_row.name) + 6 bytes at
 * least) gets "token:<name>". */
enum http_scope tokens_check(struct tokens *tokens, const char *text, char *principal, size_t size);
/* The API's view without secrets; new reference. NULL name: all as an array. */
json_t *tokens_to_json(const struct tokens *tokens, const char *name);
