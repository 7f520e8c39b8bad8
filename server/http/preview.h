/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest serves, shown to a browser: on an origin of its own, http://p<secret>.localhost, so
 * that a page of a guest is a stranger to the dashboard. Browsers take every name below localhost
 * for this host. Whoever knows the name may use it for as long as the session that asked for it
 * lives; requests to it reach the one port of the one VM, and nothing else of this server.
 */
#pragma once

#include "server/http/internal.h"

struct previews;

int previews_new(struct previews **ret_previews) MUST_USE;
void previews_free(struct previews *previews);

/* The Host header has the form of a preview's name. */
bool preview_named(const struct http_request *req);
/* Makes the request one for /vms/{vm}/proxy/{port}, by who opened the preview. */
int preview_enter(struct http_request *req, struct error *err) MUST_USE;
