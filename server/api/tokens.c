/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/tokens.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/digest/digest.h"
#include "lib/json/json.h"
#include "server/api/handlers.h"
#include "server/http/secret.h"
#include "server/store/tokens.h"

enum { TOKENS_MAX = 256, SECRET_BYTES = 32, USED_EVERY_MS = 60 * 1000, PROVEN = 64 };

#define PREFIX "bgr_"

static const struct {
	const char *name;
	enum http_scope scope;
} scopes[] = {
	{ "read", HTTP_SCOPE_READ },
	{ "run", HTTP_SCOPE_RUN },
	{ "admin", HTTP_SCOPE_ADMIN },
};

/*
 * A token that was found good: who shows it again, as every request of a connection does, is known
 * without another hash. Its place is the first byte of its secret, which is all that the time of a
 * guess can tell: six bits of 256.
 */
struct proven {
	char text[TOKEN_TEXT_MAX]; /* filled up with NUL; "" while unused */
	size_t row;
};

struct tokens {
	struct store *store;
	struct token_row rows[TOKENS_MAX];
	size_t n;
	struct proven proven[PROVEN]; /* of rows that stand where they stood */
};

/* --- what has been found good --- */

static struct proven *proven_place(struct tokens *t, const char *text)
{
	return &t->proven[(unsigned char)text[sizeof(PREFIX) - 1] % PROVEN];
}

/* `text` has len bytes, more than the prefix and fewer than TOKEN_TEXT_MAX. */
static struct token_row *find_proven(struct tokens *t, const char *text, size_t len)
{
	struct proven *place = proven_place(t, text);
	char shown[TOKEN_TEXT_MAX] = "";

	memcpy(shown, text, len);
	return place->text[0] && secret_same(place->text, shown, sizeof(shown))
		       ? &t->rows[place->row]
		       : NULL;
}

static void keep_proven(struct tokens *t, const char *text, size_t len, size_t row)
{
	struct proven *place = proven_place(t, text);

	memset(place->text, 0, sizeof(place->text));
	memcpy(place->text, text, len);
	place->row = row;
}

/* The last row takes its place: what was proven of either no longer stands there. */
static void remove_row(struct tokens *t, struct token_row *row)
{
	*row = t->rows[--t->n];
	explicit_bzero(t->proven, sizeof(t->proven));
}

/* --- in memory and in the store --- */

static int add_row(const struct token_row *row, void *data, struct error *err)
{
	struct tokens *t = data;

	if (t->n == TOKENS_MAX)
		return error_set(err, ERR_NO_ROOM, "more than %d tokens", (int)TOKENS_MAX);
	t->rows[t->n++] = *row;
	return 0;
}

int tokens_open(struct store *store, struct tokens **ret_tokens, struct error *err)
{
	struct tokens *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return error_errno(err, -ENOMEM, "tokens");
	t->store = store;
	r = tokens_each(store, add_row, t, err);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret_tokens = t;
	return 0;
}

void tokens_close(struct tokens *tokens)
{
	if (tokens)
		explicit_bzero(tokens->proven, sizeof(tokens->proven));
	free(tokens);
}

static struct token_row *find(struct tokens *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (streq(t->rows[i].name, name))
			return &t->rows[i];
	return NULL;
}

/* base64url without padding (RFC 4648 section 5) of the secret's bytes, three at a time. */
static void encode_secret(const unsigned char secret[SECRET_BYTES], char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned int bits = 0;
	unsigned int n = 0;
	size_t o = 0;

	memcpy(text, PREFIX, sizeof(PREFIX) - 1);
	o = sizeof(PREFIX) - 1;
	for (size_t i = 0; i < SECRET_BYTES; i++) {
		bits = (bits << 8) | secret[i];
		n += 8;
		while (n >= 6) {
			n -= 6;
			text[o++] = digits[(bits >> n) & 63];
		}
	}
	text[o++] = digits[(bits << (6 - n)) & 63];
	text[o] = '\0';
}

int tokens_create(struct tokens *t, const char *name, const char *scope, uint32_t ttl_s, char *text,
		  struct error *err)
{
	struct token_row row = { .created_ms = clock_wall_ms() };
	unsigned char secret[SECRET_BYTES];
	struct digest digest;
	int r;

	if (find(t, name))
		return error_set(err, ERR_EXISTS,
				 "/name: a token named '%s' exists already; revoke it first", name);
	if (t->n == TOKENS_MAX)
		return error_set(err, ERR_NO_ROOM, "there are %d tokens already; revoke some",
				 (int)TOKENS_MAX);
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return error_errno(err, -EIO, "random bytes");
	encode_secret(secret, text);
	(void)snprintf(row.id, sizeof(row.id), "%s", id_new().s);
	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	(void)snprintf(row.scope, sizeof(row.scope), "%s", scope);
	row.expires_ms = ttl_s ? row.created_ms + (int64_t)ttl_s * 1000 : 0;
	r = digest_bytes(text, strlen(text), &digest);
	if (r < 0)
		return error_errno(err, r, "hash of the token");
	(void)snprintf(row.hash, sizeof(row.hash), "%s", digest.hex);
	r = tokens_insert(t->store, &row, err);
	if (r == 0)
		t->rows[t->n++] = row;
	return r;
}

int tokens_revoke(struct tokens *t, const char *name, struct error *err)
{
	struct token_row *row = find(t, name);
	int r;

	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no token '%s'", name);
	r = tokens_delete(t->store, row->id, err);
	if (r == 0)
		remove_row(t, row);
	return r;
}

static void note_use(struct tokens *t, struct token_row *row, int64_t now)
{
	struct error err;

	if (now - row->used_ms < USED_EVERY_MS)
		return;
	row->used_ms = now;
	if (tokens_used(t->store, row->id, now, &err) < 0)
		log_warn("use of token %s not stored: %s", row->name, err.msg);
}

static struct token_row *find_by_hash(struct tokens *t, const char *text, size_t len)
{
	struct token_row *found = NULL;
	struct digest digest;

	if (digest_bytes(text, len, &digest) < 0)
		return NULL;
	for (size_t i = 0; i < t->n && !found; i++)
		if (secret_same(t->rows[i].hash, digest.hex, DIGEST_HEX))
			found = &t->rows[i];
	if (found)
		keep_proven(t, text, len, (size_t)(found - t->rows));
	return found;
}

static void name_principal(const struct token_row *row, char *principal, size_t size)
{
	static const char kind[] = "token:";
	size_t len = strlen(row->name);

	assert(sizeof(kind) + len <= size);
	memcpy(principal, kind, sizeof(kind) - 1);
	memcpy(principal + sizeof(kind) - 1, row->name, len + 1);
}

enum http_scope tokens_check(struct tokens *t, const char *text, char *principal, size_t size)
{
	size_t len = strnlen(text, TOKEN_TEXT_MAX);
	int64_t now = clock_wall_ms();
	struct token_row *row;

	if (len == TOKEN_TEXT_MAX || !str_has_prefix(text, PREFIX))
		return HTTP_SCOPE_NONE;
	row = find_proven(t, text, len);
	if (!row)
		row = find_by_hash(t, text, len);
	if (!row || (row->expires_ms && row->expires_ms <= now))
		return HTTP_SCOPE_NONE;
	note_use(t, row, now);
	name_principal(row, principal, size);
	for (size_t s = 0; s < ARRAY_SIZE(scopes); s++)
		if (streq(scopes[s].name, row->scope))
			return scopes[s].scope;
	return HTTP_SCOPE_NONE;
}

static void set_time(json_t *o, const char *name, int64_t wall_ms)
{
	char when[32];

	if (wall_ms)
		(void)json_object_set_new(o, name, json_string(clock_format_ms(wall_ms, when)));
}

static json_t *row_json(const struct token_row *row)
{
	json_t *o = json_pack("{s:s, s:s}", "name", row->name, "scope", row->scope);

	set_time(o, "created", row->created_ms);
	set_time(o, "expires", row->expires_ms);
	set_time(o, "last_used", row->used_ms);
	return o;
}

json_t *tokens_to_json(const struct tokens *t, const char *name)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n; i++) {
		if (name && streq(t->rows[i].name, name)) {
			json_decref(list);
			return row_json(&t->rows[i]);
		}
		(void)json_array_append_new(list, row_json(&t->rows[i]));
	}
	return list;
}

/* Those that have ended make room. */
static void drop_ended(struct tokens *t)
{
	int64_t now = clock_wall_ms();
	size_t i = 0;

	while (i < t->n) {
		struct token_row *row = &t->rows[i];
		struct error err;

		if (!row->expires_ms || row->expires_ms > now)
			i++;
		else if (tokens_delete(t->store, row->id, &err) < 0)
			return;
		else
			remove_row(t, row);
	}
}

/* --- sessions of the dashboard --- */

int api_issue_session(void *context, enum http_scope scope, int life_s, char *token, size_t size,
		      struct error *err)
{
	struct api *api = context;
	char text[TOKEN_TEXT_MAX];
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "dashboard-%s", id_new().s);
	drop_ended(api->tokens);
	r = tokens_create(api->tokens, name, http_scope_name(scope), (uint32_t)life_s, text, err);
	if (r < 0)
		return r;
	(void)snprintf(token, size, "%s", text);
	explicit_bzero(text, sizeof(text));
	events_emit(api->events,
		    &(struct event){ .kind = "token.created",
				     .target = name,
				     .target_name = name,
				     .data = json_pack("{s:s}", "scope", http_scope_name(scope)) });
	return 0;
}

void api_revoke_session(void *context, const char *token)
{
	struct api *api = context;
	char principal[TOKEN_TEXT_MAX + 16];
	struct error err;

	if (tokens_check(api->tokens, token, principal, sizeof(principal)) == HTTP_SCOPE_NONE)
		return;
	if (tokens_revoke(api->tokens, principal + strlen("token:"), &err) < 0)
		log_warn("session not revoked: %s", err.msg);
}

/* --- the resource --- */

enum http_scope api_check_token(void *context, const char *token, char *principal, size_t size)
{
	struct api *api = context;

	return tokens_check(api->tokens, token, principal, size);
}

void api_token_list(struct http_request *req, void *context)
{
	struct api *api = context;

	http_reply_json(req, 200, json_pack("{s:o}", "items", tokens_to_json(api->tokens, NULL)));
}

void api_token_create(struct http_request *req, void *context)
{
	struct api *api = context;
	const json_t *body = http_body(req);
	const char *name = json_string_value(json_object_get(body, "name"));
	const char *scope = json_string_value(json_object_get(body, "scope"));
	const json_t *ttl = json_object_get(body, "ttl_s");
	struct error err;
	char location[128];
	char text[TOKEN_TEXT_MAX];
	json_t *o;

	if (tokens_create(api->tokens, name, scope, (uint32_t)json_integer_value(ttl), text, &err) <
	    0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	events_emit(api->events, &(struct event){ .kind = "token.created",
						  .target = name,
						  .target_name = name,
						  .by = http_principal(req),
						  .data = json_pack("{s:s}", "scope", scope) });
	o = tokens_to_json(api->tokens, name);
	(void)json_object_set_new(o, "token", json_string(text));
	(void)snprintf(location, sizeof(location), "/tokens/%s", name);
	http_reply_header(req, "Location", location);
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply_json(req, 201, o);
}

void api_token_delete(struct http_request *req, void *context)
{
	struct api *api = context;
	const char *name = http_param(req, "token");
	struct error err;

	if (tokens_revoke(api->tokens, name, &err) < 0) {
		http_reply_error(req, &err, NULL);
		return;
	}
	events_emit(api->events, &(struct event){ .kind = "token.revoked",
						  .target = name,
						  .target_name = name,
						  .by = http_principal(req) });
	http_reply_empty(req, 204);
}
