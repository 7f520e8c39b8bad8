/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idempotency-Key. Before the handler of such a request runs, a record without a reply is stored;
 * the reply completes it. A repetition is answered from the record, waits while the first request
 * is under way, and is refused when it is not the same request. A record without a reply whose
 * request is not under way (its client left, or the server was killed) goes on with the operation
 * that it began; where none was noted the handler runs again if it may, with the same id for what
 * it makes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "server/http/hash.h"
#include "server/http/internal.h"

enum { BODY_KEPT_MAX = 256 * 1024, SECRETS_MAX = 256 };

#define KEPT_US (INT64_C(24) * 3600 * 1000000)

static const char replayed_header[] = "Idempotent-Replayed";

struct replay {
	struct replay *next;
	struct http_server *server;
	struct http_request *waiters; /* in order */
	char *who;
	char *key;
	char hash[HASH_HEX_SIZE];
	/* Of a reply that holds a secret: kept here, never in the store, and gone with the server.
	 */
	char *secret;
	size_t secret_len;
	int status;
	int64_t ends_us;
	json_t *headers; /* {"id", "operation", "location", "type", "headers": {…}} */
};

void http_saved_done(struct http_saved *saved)
{
	free(saved->headers);
	free(saved->body);
	*saved = (struct http_saved){ 0 };
}

static void replay_free(struct replay *p)
{
	if (!p)
		return;
	if (p->secret)
		explicit_bzero(p->secret, p->secret_len);
	free(p->secret);
	json_decref(p->headers);
	free(p->who);
	free(p->key);
	free(p);
}

static struct replay *find_live(const struct http_request *req, const char *key)
{
	struct replay *p = req->server->replays;

	while (p && (!streq(p->key, key) || !streq(p->who, req->principal)))
		p = p->next;
	return p;
}

static void unlink_live(struct replay *p)
{
	struct replay **at = &p->server->replays;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

/* Those whose time is over, and the oldest (the last of the list) when there are many. */
static void drop_old_secrets(struct http_server *server)
{
	struct replay **at = &server->replays;
	unsigned int n = 0;

	while (*at) {
		struct replay *p = *at;

		n += p->secret != NULL;
		if (p->secret && (p->ends_us < clock_mono_us() || n > SECRETS_MAX)) {
			*at = p->next;
			replay_free(p);
		} else {
			at = &p->next;
		}
	}
}

void replays_forget(struct http_server *server)
{
	while (server->replays) {
		struct replay *p = server->replays;

		server->replays = p->next;
		replay_free(p);
	}
}

static int hash_request(const struct http_request *req, char hex[HASH_HEX_SIZE])
{
	const struct hash_part parts[] = {
		{ req->method, strlen(req->method) },
		{ req->uri.target, strlen(req->uri.target) },
		{ buf_bytes(&req->body), buf_len(&req->body) },
	};

	return hash_parts(parts, ARRAY_SIZE(parts), hex);
}

/* --- storing --- */

static int save(const struct replay *p, int status, const char *body, struct error *err)
{
	const struct http_config *config = &p->server->config;
	struct http_saved saved = { .status = status, .body = (char *)(uintptr_t)body };
	autofree char *headers = json_text(p->headers);

	if (!headers)
		return error_errno(err, -ENOMEM, "Idempotency-Key");
	memcpy(saved.request_hash, p->hash, sizeof(saved.request_hash));
	saved.headers = headers;
	return config->replays->save(config->context, p->who, p->key, &saved, err);
}

static void forget(const struct replay *p)
{
	const struct http_config *config = &p->server->config;

	config->replays->forget(config->context, p->who, p->key);
}

/* --- replying --- */

static void refuse(struct http_request *req, enum error_code code, const char *why)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, code, "%s", why);
	http_reply_error(req, &err, NULL);
}

static void say_again(struct http_request *req, int status, const json_t *headers, const char *body,
		      size_t len)
{
	const char *type = json_string_value(json_object_get(headers, "type"));
	const char *name;
	json_t *value;

	json_object_foreach (json_object_get(headers, "headers"), name, value)
		if (json_is_string(value) && req->n_headers + 4 < REPLY_HEADERS_MAX)
			http_reply_header(req, name, json_string_value(value));
	http_mark_replayed(req);
	if (type)
		http_reply_bytes(req, status, type, body, len);
	else
		http_reply_empty(req, status);
}

static void on_waiter_gone(void *data)
{
	struct http_request *req = data;
	struct http_request **at = &req->waits->waiters;

	while (*at && *at != req)
		at = &(*at)->next_waiter;
	if (*at)
		*at = req->next_waiter;
	req->waits = NULL;
}

static void wait_for_twin(struct http_request *req, struct replay *p)
{
	struct http_request **at = &p->waiters;

	while (*at)
		at = &(*at)->next_waiter;
	*at = req;
	req->next_waiter = NULL;
	req->waits = p;
	http_on_gone(req, on_waiter_gone, req);
}

/* --- beginning --- */

static bool start_live(struct http_request *req, const char *key, const char *hash, json_t *headers,
		       struct error *err)
{
	struct replay *p = calloc(1, sizeof(*p));

	if (!p)
		goto no_memory;
	p->server = req->server;
	p->who = strdup(req->principal);
	p->key = strdup(key);
	p->headers = json_incref(headers);
	memcpy(p->hash, hash, sizeof(p->hash));
	if (!p->who || !p->key || !p->headers)
		goto no_memory;
	p->next = req->server->replays;
	req->server->replays = p;
	req->replay = p;
	return true;
no_memory:
	replay_free(p);
	(void)error_errno(err, -ENOMEM, "Idempotency-Key");
	http_reply_error(req, err, NULL);
	return false;
}

static bool begin_new(struct http_request *req, const char *key, const char *hash)
{
	json_auto_t *headers = json_pack("{s:s}", "id", http_new_id(req));
	struct error err = ERROR_INIT;

	if (!start_live(req, key, hash, headers, &err))
		return false;
	if (save(req->replay, 0, "", &err) == 0)
		return true;
	unlink_live(req->replay);
	replay_free(TAKE_PTR(req->replay));
	http_reply_error(req, &err, NULL);
	return false;
}

/* A record is there, and no request under way belongs to it. */
static bool go_on(struct http_request *req, const char *key, const struct http_saved *saved)
{
	const struct http_config *config = &req->server->config;
	json_auto_t *headers = json_loads(saved->headers, 0, NULL);
	const char *operation = json_string_value(json_object_get(headers, "operation"));
	const char *location = json_string_value(json_object_get(headers, "location"));
	const char *id = json_string_value(json_object_get(headers, "id"));
	struct error err = ERROR_INIT;

	if (saved->status) {
		say_again(req, saved->status, headers, saved->body, strlen(saved->body));
		return false;
	}
	if (req->op->rerun && id && id_valid(id)) {
		memcpy(req->new_id.s, id, ID_LEN);
		return start_live(req, key, saved->request_hash, headers, &err);
	}
	if (operation) {
		http_mark_replayed(req);
		config->replays->resume(config->context, req, operation, location);
		return false;
	}
	refuse(req, ERR_STATE,
	       "an earlier request with this Idempotency-Key ended without a reply that could be "
	       "repeated; look at what it was to change");
	return false;
}

bool replay_begin(struct http_request *req)
{
	const struct http_config *config = &req->server->config;
	const char *key = http_header(req, "Idempotency-Key");
	struct http_saved saved = { 0 };
	struct error err = ERROR_INIT;
	char hash[HASH_HEX_SIZE];
	struct replay *live;
	bool run = false;
	int r;

	if (!key || !config->replays)
		return true;
	if (hash_request(req, hash) < 0) {
		refuse(req, ERR_INTERNAL, "SHA-256 is not available");
		return false;
	}
	drop_old_secrets(req->server);
	live = find_live(req, key);
	if (live && live->secret && streq(live->hash, hash)) {
		say_again(req, live->status, live->headers, live->secret, live->secret_len);
		return false;
	}
	if (live && streq(live->hash, hash)) {
		wait_for_twin(req, live);
		return false;
	}
	r = live ? 0 : config->replays->find(config->context, req->principal, key, &saved, &err);
	if (live || (r == 0 && !streq(saved.request_hash, hash)))
		refuse(req, ERR_KEY_REUSED, "the Idempotency-Key was used for another request");
	else if (r == 0)
		run = go_on(req, key, &saved);
	else if (r == -ENOENT)
		run = begin_new(req, key, hash);
	else
		http_reply_error(req, &err, NULL);
	http_saved_done(&saved);
	return run;
}

/* --- ending --- */

static void keep_headers(struct http_request *req, const char *content_type)
{
	json_t *kept = json_object();

	for (size_t i = 0; i < req->n_headers; i++)
		if (req->headers[i].name && req->headers[i].value &&
		    !streq(req->headers[i].name, replayed_header))
			(void)json_object_set_new(kept, req->headers[i].name,
						  json_string(req->headers[i].value));
	(void)json_object_set_new(req->replay->headers, "headers", kept);
	if (content_type)
		(void)json_object_set_new(req->replay->headers, "type", json_string(content_type));
	(void)json_object_del(req->replay->headers, "note");
}

static void answer_waiters(struct replay *p, int status, const char *data, size_t len)
{
	while (p->waiters) {
		struct http_request *twin = p->waiters;

		p->waiters = twin->next_waiter;
		twin->waits = NULL;
		say_again(twin, status, p->headers, data, len);
	}
}

/* What failed is forgotten: a repetition tries again. What waits gets the same reply either way. */
void replay_done(struct http_request *req, int status, const char *content_type, const char *data,
		 size_t len)
{
	struct replay *p = req->replay;
	autofree char *text = NULL;
	struct error err = ERROR_INIT;

	if (!p)
		return;
	if (len > BODY_KEPT_MAX || memchr(data, '\0', len)) {
		replay_drop(req);
		return;
	}
	text = strndup(data, len);
	keep_headers(req, content_type);
	req->replay = NULL;
	answer_waiters(p, status, data, len);
	if (status < 400 && req->op->secret && text) {
		p->secret = TAKE_PTR(text);
		p->secret_len = len;
		p->status = status;
		p->ends_us = clock_mono_us() + KEPT_US;
		return;
	}
	if (status >= 400)
		forget(p);
	else if (save(p, status, text ? text : "", &err) < 0)
		log_error("a reply can't be kept for repetition: %s", err.msg);
	unlink_live(p);
	replay_free(p);
}

void replay_drop(struct http_request *req)
{
	struct replay *p = req->replay;

	if (!p)
		return;
	req->replay = NULL;
	unlink_live(p);
	while (p->waiters) {
		struct http_request *twin = p->waiters;

		p->waiters = twin->next_waiter;
		twin->waits = NULL;
		twin->gone = NULL;
		if (replay_begin(twin))
			intake_run(twin);
	}
	replay_free(p);
}

void http_mark_replayed(struct http_request *req)
{
	http_reply_header(req, replayed_header, "true");
}

static void save_note(const struct replay *p, const char *what)
{
	struct error err = ERROR_INIT;

	if (save(p, 0, "", &err) < 0)
		log_error("%s can't be noted for repetition: %s", what, err.msg);
}

void http_note_operation(struct http_request *req, const char *operation, const char *location)
{
	struct replay *p = req->replay;

	if (!p)
		return;
	(void)json_object_set_new(p->headers, "operation", json_string(operation));
	if (location)
		(void)json_object_set_new(p->headers, "location", json_string(location));
	save_note(p, operation);
}

void http_note(struct http_request *req, json_t *note)
{
	if (!req->replay) {
		json_decref(note);
		return;
	}
	(void)json_object_set_new(req->replay->headers, "note", note);
	save_note(req->replay, req->op->id);
}

const json_t *http_noted(const struct http_request *req)
{
	return req->replay ? json_object_get(req->replay->headers, "note") : NULL;
}

static int set_id(const struct replay *p, const char *id, struct error *err)
{
	(void)json_object_set_new(p->headers, "id", json_string(id));
	return save(p, 0, "", err);
}

const char *http_adopt_id(struct http_request *req, const char *id)
{
	const char *own = http_new_id(req);
	struct error err;

	if (!id)
		return own;
	if (req->replay && set_id(req->replay, id, &err) < 0) {
		log_error("an id can't be noted for repetition: %s", err.msg);
		(void)json_object_set_new(req->replay->headers, "id", json_string(own));
		return own;
	}
	(void)snprintf(req->new_id.s, sizeof(req->new_id.s), "%s", id);
	return req->new_id.s;
}
