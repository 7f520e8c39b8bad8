/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dashboard's login: a link that works once and soon, exchanged for a session in a cookie. A
 * session is a token of the store, made by the caller's issue_session(): it can be listed and
 * revoked like any other. Tickets of the same kind, bound to one path, open streams for clients
 * that can't set headers.
 */
#pragma once

#include "server/http/internal.h"

struct session_tickets;

int session_tickets_new(struct session_tickets **ret_tickets) MUST_USE;
void session_tickets_free(struct session_tickets *tickets);

/* The value of our session cookie, or NULL; `buf` keeps it. */
const char *session_cookie(const struct http_request *req, char *buf, size_t size);

/* The scope of a ticket for the request's path, which is void from now on; the request's principal
 * is who asked for it. HTTP_SCOPE_NONE when it is not good. */
enum http_scope session_use_ticket(struct http_request *req, const char *text);

/* Handlers. */
void ticket_create(struct http_request *req, void *context);
void login_create(struct http_request *req, void *context);
void login_use(struct http_request *req, void *context);
void session_get(struct http_request *req, void *context);
void session_delete(struct http_request *req, void *context);
